"""What the tasks of the duplicate steps read: a part's living samples, or one bucket of what the parts wrote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.steps.shared.parts import area
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Args, Done, Part, Task
from tamis.schemas.scope import Scope


def living(context: Context, part: Part) -> dict[str, Sequence[Slice]]:
    """A part's ingest table, and what earlier steps dropped of it."""
    return {"ingest": [context.ingest(part)], "drops": context.drops(part)}


def bucket_tasks(buckets: int, args: Args, **roles: Done) -> list[Task[Args]]:
    """A task for each bucket, which reads that bucket of every role."""
    return [
        Task(Scope.BUCKET, b, {role: done.groups(b) for role, done in roles.items()}, args)
        for b in range(buckets)
    ]


def preference(prefer: str, table: pa.Table) -> npt.NDArray[np.float64]:
    """What decides who of several duplicates is kept, before the uid: float64 (n,), the larger the better."""
    if prefer == "larger":
        return area(table).astype(np.float64)
    return np.zeros(table.num_rows)
