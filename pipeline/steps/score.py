"""Selection by one signal: its best share or count, to the exact number, or what lies within bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from pipeline.algorithms import order
from pipeline.algorithms.score import place
from pipeline.bounds import failures
from pipeline.inputs import InputFile
from pipeline.phases import Context, Phase, Step, TaskIo
from pipeline.steps import selection
from pipeline.steps.common import drops
from pipeline.steps.scored import (
    check_numbers,
    key,
    keyed_task,
    living_values,
    signal_task,
    with_missing,
)
from schemas.job import Job
from schemas.ledger import Reason
from schemas.selection import Score as Config
from schemas.selection import whole_of
from schemas.steps import Bound


class Score(Step):
    """``keyed``, ``cut`` and ``verdict``; with bounds, only ``verdict``."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.steps = config, config.name, job.steps

    def needs(self) -> Sequence[str]:
        """The signal."""
        return [f"signal:{self.config.signal}"]

    def check(self, inputs: Sequence[InputFile]) -> None:
        """It is made of numbers.

        Raises:
            JobError: it is text.
        """
        check_numbers(self.name, self.config.signal, self.steps, inputs)

    def phases(self, context: Context) -> Iterator[Phase]:
        """See the class."""
        config = self.config
        reading = {"signal": config.signal, "best": config.best}
        tasks = [signal_task(context, part, config.signal) for part in context.parts]
        if config.keep is None:
            bounds = {"min": config.min, "max": config.max}
            yield Phase("verdict", bounded, tasks, {"signal": config.signal, **bounds})
            return
        yield Phase("keyed", key, tasks, {**reading, "finite": False})
        there = selection.have_key(context, self.name)
        wanted = selection.budget_of(context, config, there)
        if config.ties == "keep" and isinstance(config.keep, float):
            whole = whole_of(config.of, context.alive, context.total)
            wanted = min(place(whole, config.keep) + 1, there)
        yield from selection.phases(context, self.name, [wanted])
        cut = context.done(self.name, "cut").whole()
        tasks = [keyed_task(context, self.name, part, cut) for part in context.parts]
        yield Phase("verdict", decide, tasks, {**reading, "ties": config.ties})


def decide(io: TaskIo) -> Iterator[pa.Table]:
    """The samples of one part beyond the cut, and those without a value."""
    table = io.read("keyed").combine_chunks()
    found = selection.read_cut(io)
    over = np.flatnonzero(~selection.passes(table, found, io.args["ties"] == "keep"))
    rows = table["row"].to_numpy()[over]
    sign = 1.0 if io.args["best"] == "highest" else -1.0
    value = sign * order.undone(table["key"].to_numpy()[over])
    bound = np.repeat(sign * order.undone(found.key), len(rows))
    yield with_missing(io, table, rows, [io.args["signal"]] * len(rows), value, bound)


def bounded(io: TaskIo) -> Iterator[pa.Table]:
    """The samples of one part outside the bounds, and those without a value."""
    rows, values = living_values(io)
    least, most = io.args["min"], io.args["max"]
    limits = {Reason.BELOW_MINIMUM: least, Reason.ABOVE_MAXIMUM: most}
    reason, bound = np.full(len(rows), "", object), np.full(len(rows), np.nan)
    for why, fails in failures(pa.array(values), Bound(min=least, max=most)).items():
        reason[fails], bound[fails] = why, limits.get(Reason(why), np.nan)
    out = np.flatnonzero(reason != "")
    yield drops(
        io,
        rows[out],
        reason[out],
        rule=[io.args["signal"]] * len(out),
        value=pa.array(values[out], from_pandas=True),
        bound=pa.array(bound[out], from_pandas=True),
    )
