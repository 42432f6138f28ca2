"""The step: a verdict over each part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.tasks.phase import EachPart, Phase
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.job import Job
from tests.support.toy_step.config import EveryNth as Config


@dataclass(frozen=True)
class Every:
    """Arguments of ``decide``."""

    n: int
    because: str


class EveryNth(Step):
    """One phase: ``verdict``."""

    def __init__(self, config: Config, job: Job) -> None:
        del job
        self.config, self.name = config, config.name

    def phases(self, context: Context) -> Iterator[Phase[Every]]:
        """The same for each part."""
        n, because = self.config.n, self.config.because
        drops_before = {"drops": context.drops()}
        yield Phase("verdict", decide, EachPart(context.parts, drops_before, Every(n, because)))


def decide(io: TaskIo[Every]) -> Iterator[pa.Table]:
    """The living rows of one part whose number is a multiple of n."""
    yield drops(io, io.living_rows()[:: io.args.n], io.args.because)
