"""Reading of the duplicate steps' tasks: each part's living samples, or one bucket of what the parts wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.signals import origins
from tamis.pipeline.steps.shared.pictures import area
from tamis.pipeline.tables.columns import scatter
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Args, Task, TaskIo
from tamis.schemas.errors import JobError
from tamis.schemas.scope import Scope
from tamis.schemas.step import StepModel

Ints = npt.NDArray[np.int64]
SIGNAL = "signal:"
"""What stands before a signal's name in a preference."""


def living(context: Context, preferred: str | None = None) -> dict[str, ByPart | Sequence[ByPart]]:
    """The ingest table, what earlier steps dropped, and the table of a signal that is preferred by."""
    inputs: dict[str, ByPart | Sequence[ByPart]] = {
        "ingest": context.ingest(),
        "drops": context.drops(),
    }
    if preferred is not None:
        signal = context.signal(preferred)
        inputs["preference"] = signal
    return inputs


def preference(
    io: TaskIo[Any], prefer: str, table: pa.Table, rows: Ints
) -> npt.NDArray[np.float64]:
    """The preference among duplicates, before the uid: float64 (n,), the larger the better, NaN worst.

    ``table`` has ``width`` and ``height`` of the part's ``rows``.
    """
    if prefer.startswith(SIGNAL):
        return signal_values(io, prefer.removeprefix(SIGNAL), rows)
    if prefer == "larger":
        return area(table).astype(np.float64)
    return np.zeros(len(rows))


def signal_values(io: TaskIo[Any], name: str, rows: Ints) -> npt.NDArray[np.float64]:
    """Values of the signal under the role ``preference``, float64 (n,), NaN where there is none; rows ascend."""
    count = int(rows[-1]) + 1 if len(rows) else 0
    stored = io.read("preference", ["row", name])
    stored = stored.filter(pa.array(stored["row"].to_numpy() < count))
    column = scatter(stored, count)[name].take(pa.array(rows)).cast(pa.float64())
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def needed(signal: str | None) -> list[Product]:
    """The products that a step needs to prefer by a signal."""
    return [] if signal is None else [product.signal(signal)]


def check_preference(
    step: str, signal: str | None, steps: Sequence[StepModel], inputs: Sequence[InputFile]
) -> None:
    """The signal that a step prefers by is made of numbers.

    Raises:
        JobError: it is text.
    """
    if signal is not None and signal in origins.text_signals(steps, inputs):
        raise JobError(
            f"{step}: {signal} is text, and the larger number is preferred: name another"
        )


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
