"""Selection by one signal: its best share or count, to the exact number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing.score import cut_position
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.by_signal import (
    Choice,
    Keying,
    check_numbers,
    cut_phase,
    keyed_phase,
    with_missing,
)
from tamis.pipeline.steps.selectors.score.config import Score as Config
from tamis.pipeline.tasks.phase import Phase
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.job import Job


@dataclass(frozen=True)
class ScoreChoice(Choice):
    """Arguments of ``decide``."""

    best: Literal["highest", "lowest"]
    ties: Literal["uid", "keep"]


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

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        config = self.config
        yield keyed_phase(context, "keyed", Keying(config.signal, config.best, finite=False))
        valued = budget_cut.have_key(context, self.name)
        wanted = config.budget(context.alive, context.total, valued)
        if config.ties == "keep" and isinstance(config.keep, float):
            whole = config.whole(context.alive, context.total)
            wanted = min(cut_position(whole, config.keep) + 1, valued)
        yield from budget_cut.phases(context, self.name, [wanted])
        choice = ScoreChoice(config.signal, config.best, config.ties)
        yield cut_phase(context, self.name, decide, choice)


def decide(io: TaskIo[ScoreChoice]) -> Iterator[pa.Table]:
    """The samples of one part beyond the cut, and those without a value."""
    table = io.read("keyed").combine_chunks()
    cut = budget_cut.read_cut(io)
    over = np.flatnonzero(~budget_cut.passes(table, cut, io.args.ties == "keep"))
    rows = table["row"].to_numpy()[over]
    sign = 1.0 if io.args.best == "highest" else -1.0
    value = sign * order.from_descending(table["key"].to_numpy()[over])
    bound = np.repeat(sign * order.from_descending(cut.key), len(rows))
    yield with_missing(io, table, rows, [io.args.signal] * len(rows), value, bound)
