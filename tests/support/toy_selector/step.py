"""The selector: a lot for each sample, and the cut that all selectors share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.config import NOT_CHOSEN
from tamis.pipeline.steps.shared.parts import drops, part_task
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Phase, Task, TaskIo
from tamis.schemas.job import Job
from tests.support.toy_selector.config import Lottery as Config


@dataclass(frozen=True)
class Lots:
    """Arguments of ``key``."""

    rows: int  # of the part
    seed: int


class Lottery(Step):
    """``keyed``, ``cut`` and ``verdict``."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.seed = config, config.name, job.seed

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        wanted = self.config.budget(context.alive, context.total)
        keyed = [
            part_task(
                part,
                {"ingest": [context.ingest(part)], "drops": context.drops(part)},
                Lots(part.rows, self.seed),
            )
            for part in context.parts
        ]
        yield Phase("keyed", key, keyed)
        yield from budget_cut.phases(context, self.name, [wanted])
        cut = context.done(self.name, "cut").whole()
        verdicts: list[Task[None]] = [
            part_task(part, {"keyed": [context.at(self.name, "keyed", part)], "cut": cut})
            for part in context.parts
        ]
        yield Phase("verdict", decide, verdicts)


def key(io: TaskIo[Lots]) -> Iterator[pa.Table]:
    """The living samples of one part, and their lots."""
    rows = io.alive(io.args.rows)
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(pa.array(rows))
    yield budget_cut.keyed(rows, order.hashed(uid_words(uid), io.args.seed, "lottery"), uid)


def decide(io: TaskIo[None]) -> Iterator[pa.Table]:
    """The samples of one part beyond the cut."""
    table = io.read("keyed").combine_chunks()
    over = np.flatnonzero(~budget_cut.passes(table, budget_cut.read_cut(io)))
    yield drops(io, table["row"].to_numpy()[over], NOT_CHOSEN)
