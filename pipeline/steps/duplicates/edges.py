"""Tables of edges: pairs of samples that were compared and found alike; and what is dropped because of them.

A table has, for each end (``_a``, ``_b``), the columns ENDS, one value a pair, and ``same``: whether nothing tells the
two apart, so that the second has no other edge, and shares the fate of the first. End ``a`` is preferred.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.steps.shared.exchange import split_by_range
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.tables import UID

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

ENDS = ("sid", "uid", "preference")
"""What an edge says of each of its ends: the sample, its uid, and what decides who is kept before the uid does."""


@dataclass(frozen=True)
class Rule:
    """Arguments of the tasks that decide: who is kept, and how an edge reads in the ledger."""

    rule: str  # its name
    value: str  # the column of the edges
    bound: float
    larger: bool  # whether larger values are more alike
    chain: bool  # whether one of each component is kept
    starts: Sequence[int]  # the first sid of each range


def edges(
    table: pa.Table, a: Ints, b: Ints, same: bool | Mask, **values: npt.NDArray[Any]
) -> pa.Table:
    """Edges between rows of ``table``, with what is needed of both ends; ``a`` are preferred."""
    columns: dict[str, Any] = {}
    for name in ENDS:
        for end, rows in (("a", a), ("b", b)):
            columns[f"{name}_{end}"] = table[name].combine_chunks().take(pa.array(rows))
    return pa.table({**columns, "same": np.broadcast_to(same, len(a)).copy(), **values})


def both_ends(edges: pa.Table, name: str) -> pa.Array:
    """A column of both ends, all of ``a`` and then all of ``b``."""
    return pa.concat_arrays([edges[f"{name}_{end}"].combine_chunks() for end in "ab"])


def signed(rule: Rule, edges: pa.Table) -> npt.NDArray[np.float64]:
    """The edges' values, the larger the more alike."""
    value: npt.NDArray[np.float64] = edges[rule.value].to_numpy().astype(np.float64)
    return value if rule.larger else -value


def falls(
    io: TaskIo[Rule], sid: Any, partner: Any, value: Any, survivor: Any
) -> Iterator[pa.Table]:
    """Drops as (n,) arrays: the dropped, the neighbour, the value, the survivor; by range."""
    out = pa.table(
        {
            "sid": sid,
            "rule": pa.array([io.args.rule] * len(sid), pa.string()),
            "value": value,
            "bound": np.full(len(sid), float(io.args.bound)),
            "partner": partner.cast(UID),
            "partner_value": value,
            "survivor": survivor.cast(UID),
        }
    )
    yield from split_by_range(out, io.args.starts)
