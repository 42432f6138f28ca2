"""What the tasks of the duplicate steps read: each part's living samples, or one bucket of what the parts wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.steps.shared.parts import area
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import Phase, listed
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Args, Task, TaskIo
from tamis.schemas.scope import Scope


def living(context: Context) -> dict[str, ByPart | Sequence[ByPart]]:
    """The ingest table, and what earlier steps dropped."""
    return {"ingest": context.ingest(), "drops": context.drops()}


def bucket_tasks(buckets: int, args: Args, **roles: Done) -> list[Task[Args]]:
    """A task for each bucket, which reads that bucket of every role."""
    return [
        Task(Scope.BUCKET, b, {role: done.groups(b) for role, done in roles.items()}, args)
        for b in range(buckets)
    ]


def bucket_phase(
    name: str,
    function: Callable[[TaskIo[Args]], Iterable[pa.Table]],
    buckets: int,
    args: Args,
    dealt: int | None = None,
    **roles: Done,
) -> Phase[Any]:
    """A phase of a task for each bucket; ``dealt``: the buckets that each deals its rows out to."""
    return listed(name, function, bucket_tasks(buckets, args, **roles), buckets=dealt)


def preference(prefer: str, table: pa.Table) -> npt.NDArray[np.float64]:
    """What decides who of several duplicates is kept, before the uid: float64 (n,), the larger the better."""
    if prefer == "larger":
        return area(table).astype(np.float64)
    return np.zeros(table.num_rows)
