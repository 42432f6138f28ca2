"""Growth of a step's tasks with the rows: `tamis plan --cluster` asks each step for it.

A step of other growth has a ``growth.py`` in its folder, with a class of the step's name that derives from
``StepGrowth``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from tamis.pipeline.steps.shared import bucket_counts
from tamis.schemas.job import Job
from tamis.schemas.step import StepModel

Config = TypeVar("Config", bound=StepModel | None)


@dataclass(frozen=True)
class StepGrowth(Generic[Config]):
    """The neutral answers, of a step whose costs grow with its rows, and whose buckets hold BUCKET_ROWS each."""

    config: Config  # None for a step that every job has
    job: Job
    rows: float  # of the input
    alive: float  # of them, those that reach the step
    dim: int  # of the embedding; 0 where there is none

    @property
    def multiplies_on_gpu(self) -> bool:
        """Whether a GPU does the arithmetic of ``flop``."""
        return False

    def trained_rows(self, phase: str) -> float | None:
        """Rows of the sample that the phase trains on; None where it trains on none."""
        del phase
        return None

    def flop(self, phase: str, rows: float) -> float:
        """Floating-point operations of a phase of ``rows`` that do not grow with its rows alone."""
        del phase, rows
        return 0.0

    def groups(self, phase: str) -> int | None:
        """Tasks of a phase whose tasks each read a range of parts; None: as many as the job's ranges."""
        del phase
        return None

    def buckets(self, phase: str, rows: int) -> int:
        """Tasks of a phase whose tasks each read a bucket; a bucket's ``rows`` are candidates, at the least."""
        del phase, rows
        return bucket_counts.buckets_for(int(self.alive))
