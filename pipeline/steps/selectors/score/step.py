"""Selection by one signal: its best share or count, to the exact number; or by a threshold over the whole input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.phase import Phase
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job


@dataclass(frozen=True)
class ScoreChoice(Choice):
    """Arguments of ``decide``."""

    best: Literal["highest", "lowest"]
    ties: Literal["uid", "keep"]
    over: str | None = (
        None  # "input": of a threshold that samples take part in which do not reach the step
    )


class Score(Step):
    """``keyed``, ``cut`` and ``verdict``."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.steps = config, config.name, job.steps

    def needs(self) -> Sequence[Product]:
        """The signal."""
        return [product.signal(self.config.signal)]

    def check(self, inputs: Sequence[InputFile]) -> None:
        """It is made of numbers, and for a threshold over the input nothing is dropped before it is made.

        Raises:
            JobError: one line.
        """
        config = self.config
        check_numbers(self.name, config.signal, self.steps, inputs)
        late = config.made_late(self.steps) if config.threshold is not None else None
        if late is not None:
            maker, dropping = late
            raise JobError(
                f"{self.name}: threshold over the input: `{maker}` makes {config.signal} only for what `{dropping}` "
                f"has left: move `{maker}` above `{dropping}`, or take a column of the input with `signals` there"
            )

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        config, threshold = self.config, self.config.threshold
        keying = Keying(config.signal, config.best, finite=False)
        yield keyed_phase(context, "keyed", keying, everyone=threshold is not None)
        valued = budget_cut.have_key(context, self.name)
        if threshold is not None:
            wanted = min(cut_position(context.total, threshold.share) + 1, valued)
        else:
            wanted = config.budget(context.alive, context.total, valued)
            if config.ties == "keep" and isinstance(config.keep, float):
                whole = config.whole(context.alive, context.total)
                wanted = min(cut_position(whole, config.keep) + 1, valued)
        yield from budget_cut.phases(context, self.name, [wanted])
        choice = ScoreChoice(config.signal, config.best, config.ties)
        if threshold is not None:
            choice = replace(choice, ties="keep", over=threshold.over)
        yield cut_phase(context, self.name, decide, choice)


def decide(io: TaskIo[ScoreChoice]) -> Iterator[pa.Table]:
    """The samples of one part beyond the cut, and those without a value."""
    table = io.read("keyed").combine_chunks()
    if io.args.over is not None:
        table = table.filter(pa.array(io.living_mask()[table["row"].to_numpy()])).combine_chunks()
    cut = budget_cut.read_cut(io)
    over = np.flatnonzero(~budget_cut.passes(table, cut, io.args.ties == "keep"))
    rows = table["row"].to_numpy()[over]
    sign = 1.0 if io.args.best == "highest" else -1.0
    value = sign * order.from_descending(table["key"].to_numpy()[over])
    bound = np.repeat(sign * order.from_descending(cut.key), len(rows))
    yield with_missing(io, table, rows, [io.args.signal] * len(rows), value, bound)
