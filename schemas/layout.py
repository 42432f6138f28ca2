"""The layout of a run directory: its version, which ``plan.json`` carries, and the names of its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tamis.schemas.errors import StateError

JOB = "job.yaml"
PLAN = "plan.json"
PLAN_TABLE = "plan.parquet"
MANIFEST = "manifest.json"
JOURNAL = "events.jsonl"
SUBSET = "subset.npy"
TABLES = "tables"

RUN_FILES = (
    TABLES, "shards", "subsets", "ledger", "ledger_index", PLAN_TABLE,
    SUBSET, "delta.parquet", "manifest", MANIFEST, JOURNAL, "plugins", JOB,
)  # fmt: skip
"""Names that a run writes into its directory beside ``plan.json``, and may replace or remove there."""

RUN_LAYOUT = 3
"""It goes up when files of a run mean something else or lie elsewhere. Runs of any other layout are refused."""


def check_layout(record: Mapping[str, Any], path: str) -> None:
    """Check that this version can read a run directory; ``record`` is the content of its ``plan.json``.

    Raises:
        StateError: another version made it.
    """
    layout = record.get("layout", 1)  # the first had no number
    if layout != RUN_LAYOUT:
        raise StateError(
            f"{path}: layout {layout!r}, and this version reads and goes on with layout {RUN_LAYOUT} alone: use the "
            "version that made the run, or run the job into another `output:`"
        )
