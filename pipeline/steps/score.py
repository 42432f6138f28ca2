"""Selection by one signal: its best share or count, to the exact number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from pipeline.algorithms import order
from pipeline.algorithms.score import place
from pipeline.inputs import InputFile
from pipeline.phases import Context, Phase, Step, TaskIo
from pipeline.steps import selection
from pipeline.steps.scored import (
    check_numbers,
    key,
    keyed_task,
    signal_task,
    with_missing,
)
from schemas.job import Job
from schemas.selection import Score as Config
from schemas.selection import whole_of


class Score(Step):
    """``keyed``, ``cut`` and ``verdict``."""

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
