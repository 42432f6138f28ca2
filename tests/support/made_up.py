"""Made-up records of tasks that are not done: counts, notes, receipts, and the memory that they would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks.perform import Work
from tamis.pipeline.tasks.sources import Gathered, PartSlices, SomeParts, Source
from tamis.pipeline.tasks.task import Task
from tamis.schemas.scope import Scope

DIM = 512

ROW_BYTES = {
    "uids": 41, "keys": 40, "texts": 130, "bands": 12, "shared": 12, "sketches": 32, "alike": 12, "bands-dealt": 14,
    "near members": 140, "similar": 60,
    "semantic members": 1060, "pairs": 40, "members": 36, "ranked": 20, "drops": 40, "assigned": 12,
    "hashes": 16, "kept": 20, "write/sorted": 16, "sample": 2080, "vectors": 2060, "ingest": 400,
}  # fmt: skip
"""Bytes of a row in memory, by what is read: of the schemas, at captions of 60 bytes and DIM."""

MET = 0.08
"""Captions of a band that share its key with another; measured over a million, ``tests/benchmarks/near_scale.py``."""

CANDIDATES = 0.3
"""Candidates a caption."""

COPIES = 3
"""What a task that gathers holds of what it reads: the rows, sorted rows, and what it writes."""


def counts_of(name: str, rows: Sequence[int]) -> dict[str, int]:
    """Counts that a later phase asks for."""
    if name == "unique":
        return {"repeated": 0}
    if name == "bands":
        return {"samples": sum(rows), "captions": sum(rows)}
    if name == "shared":
        return {"met": sum(rows)}
    if name == "alike":
        return {"candidates": sum(rows)}
    return {}


def notes_of(name: str, work: Work) -> dict[str, Any]:
    """Notes that a later phase asks for."""
    if name == "files":
        return {"bytes": 1_000_000_000, "sha256": f"{work.task.number:064x}"}
    if name in ("vectors", "values"):
        return {"dim": DIM, "rows_key": work.attempt.rows_key}
    if name == "train":
        return {"dim": DIM, "clusters": work.task.args.clusters}
    if name == "ranked":
        return {"ends": [[1, 5], [2, 5]]}
    if name.startswith(("small-", "large-")):
        return {"edges": 1, "hash": 2}
    return {}


def files_read(source: Source) -> int:
    """Files that a task reads of one source."""
    if isinstance(source, Gathered):
        return (source.stop or 1) - source.first
    if isinstance(source, SomeParts):
        return len(np.unique(source.table.file[source.parts]))
    return len(source.names) if isinstance(source, PartSlices) else 1


def held_bytes(name: str, task: Task[Any], made: TableFile) -> int:
    """Bytes of the rows that a task holds at once, by the widths of rows; what streams holds little."""
    if task.scope is Scope.WHOLE and name.endswith(("subset", "train", "quotas")):
        return 0  # bounded by a bucket, by the job's sample_bytes, by the clusters
    if task.members is not None and task.members.buckets:
        return sum(made.rows) * _row_bytes(name, "")
    read = {role: sum(s.rows for s in sources) for role, sources in task.inputs.items()}
    return max((rows * _row_bytes(name, role) for role, rows in read.items()), default=0)


def table_bytes(name: str, rows: int) -> int:
    """Bytes of a table's file: packed, half of what its rows take in memory."""
    return 2_000 + rows * _row_bytes(name, "") // 2


def _row_bytes(name: str, role: str) -> int:
    step = name.partition("_")[0]
    phase = name.rpartition("/")[2]
    for known in (name, f"{step} {role}", role, f"{step} {phase}", phase):
        if known in ROW_BYTES:
            return ROW_BYTES[known]
    return 40


def outputs_of(step: str, name: str, task: Task[Any]) -> dict[str, Any]:
    """The note of a receipt."""
    if (step, name) == ("ledger", "rows"):
        made = [f"ledger/{task.name}.parquet"]
    elif name == "shards":
        made = [f"shards/{task.number:05d}{end}" for end in (".tar", ".parquet", "_stats.json")]
    elif (step, name) == ("ledger", "index"):
        made = [f"ledger_index/{task.number:05d}.parquet"]
    elif name == "subset":
        made = ["subset.npy"]
    else:
        return {}
    same = {"rows": 1, "bytes": 1000, "sha256": "0" * 64}
    return {"outputs": [{"path": path, **same} for path in made]}
