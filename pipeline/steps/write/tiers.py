"""The kept samples of one tier, which has shards of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from tamis.pipeline.steps.shared.tiers import Tiering
from tamis.pipeline.tables.columns import scatter
from tamis.pipeline.tasks.task import TaskIo


@dataclass(frozen=True)
class OfTier:
    """Arguments of ``kept_of_tier``; without a tier those that have none."""

    signal: str
    tier: str | None = None


def kept_of_tier(io: TaskIo[OfTier]) -> Iterator[pa.Table]:
    """(row) of one part's kept samples of a tier."""
    args = io.args
    rows = io.read("kept", ["row"])["row"]
    tiers = scatter(io.read("tiers", ["row", args.signal]), io.rows)[args.signal].take(rows)
    members = Tiering(args.signal, ()).members(args.tier, tiers)
    yield pa.table({"row": rows.filter(pa.array(members))})
