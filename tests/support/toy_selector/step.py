"""The selector: a lot for each sample, and the cut that all selectors share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.config import NOT_CHOSEN
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.phase import EachPart, Phase
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.job import Job
from tests.support.toy_selector.config import Lottery as Config


@dataclass(frozen=True)
class Lots:
    """Arguments of ``key``."""

    seed: int


class Lottery(Step):
    """``keyed``, ``cut`` and ``verdict``."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.seed = config, config.name, job.seed

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        wanted = self.config.budget(context.alive, context.total)
        living: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        yield Phase("keyed", key, EachPart(context.parts, living, Lots(self.seed)))
        yield from budget_cut.phases(context, self.name, [wanted])
        cut = {"cut": context.done(self.name, "cut").whole()}
        keyed = {"keyed": context.at(self.name, "keyed")}
        yield Phase("verdict", decide, EachPart(context.parts, keyed, shared=cut))


def key(io: TaskIo[Lots]) -> Iterator[pa.Table]:
    """The living samples of one part, and their lots."""
    rows = io.living_rows()
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(pa.array(rows))
    yield budget_cut.keyed(rows, order.hashed(uid_words(uid), io.args.seed, "lottery"), uid)


def decide(io: TaskIo[None]) -> Iterator[pa.Table]:
    """The samples of one part beyond the cut."""
    table = io.read("keyed").combine_chunks()
    over = np.flatnonzero(~budget_cut.passes(table, budget_cut.read_cut(io)))
    yield drops(io, table["row"].to_numpy()[over], NOT_CHOSEN)
