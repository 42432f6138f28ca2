"""The batch size that embeds fastest on this machine, measured over the first samples of a job's own input.

Batch shape is part of a result's identity, so it is never chosen while a job runs: it is measured here, and stands
in the job.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tamis.pipeline.planning.trial import FirstParts
from tamis.pipeline.runs.plan import Plan, build
from tamis.pipeline.runs.state import State
from tamis.pipeline.runs.walk import Run
from tamis.pipeline.steps.embed.config import Embed
from tamis.pipeline.tasks.perform import Here, Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.schemas.errors import JobError

NOISE = 0.05
"""The least gain that is a reason to change a number that decides the bytes of a result."""


@dataclass(frozen=True)
class Rate:
    """Samples a second of one worker: the median of the rounds, and the slowest and fastest of them."""

    batch_size: int
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Tuned:
    """The rates of one step, and the batch size to take: the job's own, unless another gains."""

    step: str
    own: int
    best: int
    samples: int
    rates: tuple[Rate, ...]


def tune(plan: Plan, step: Embed, sizes: Sequence[int], samples: int, rounds: int) -> Tuned:
    """Embed the first ``samples`` of the job's first file in every size, in turn, in this process.

    Args:
        plan: of the job as it is to run.
        step: one of its embedding steps, with a model.
        sizes: batch sizes; the step's own is measured beside them.
        samples: at most; those that cannot be read are not embedded.
        rounds: how often each is measured; before the first, all is done once for caches and kernels.

    Raises:
        JobError: embeddings that come with the input have no batches; or no sample can be read.
        TamisError: the model cannot be had, or not on this device.
    """
    if step.takes_embeddings:
        raise JobError(f"{step.name}: its embeddings come with the input: there is nothing to tune")
    tried = sorted({step.batch_size, *sizes})
    rates: dict[int, list[float]] = {size: [] for size in tried}
    with tempfile.TemporaryDirectory(prefix="tamis-tune-") as root:
        embedding = _Embedding(
            plan, step, samples, root
        )  # once with the job's own size: it warms up
        for number in range(rounds):
            turned = number % len(tried)
            for size in tried[turned:] + tried[:turned]:
                rates[size].append(embedding.rows / embedding.seconds(size))
    found = tuple(
        Rate(size, statistics.median(many), min(many), max(many)) for size, many in rates.items()
    )
    return Tuned(step.name, step.batch_size, chosen(found, step.batch_size), embedding.rows, found)


def chosen(rates: Sequence[Rate], own: int) -> int:
    """The fastest size whose slowest round beats the fastest of ``own``, and whose median gains more than NOISE.

    ``own`` where there is none.
    """
    (present,) = [rate for rate in rates if rate.batch_size == own]
    better = [
        rate
        for rate in rates
        if rate.low > present.high and rate.median * (1 - NOISE) > present.median
    ]
    best = max(better or [present], key=lambda rate: (rate.median, -rate.batch_size))
    return best.batch_size


class _Embedding:
    """The task that embeds the first samples, to be done again and again."""

    def __init__(self, plan: Plan, step: Embed, samples: int, root: str) -> None:
        part = min(samples, plan.job.part_samples)
        job = plan.job.model_copy(update={"steps": (step,), "output": root, "part_samples": part})
        steps = (FirstParts(job, 1), build(job)[1])
        first = replace(plan, job=job, root=root, inputs=plan.inputs[:1], steps=steps)
        self._here = _Keeping(root)
        Run(first, State.open(first), self._here, ()).walk_steps()
        if self._here.rows == 0:
            raise JobError(
                f"{step.name}: no sample at the beginning of {plan.inputs[0].source} can be read"
            )
        self.rows = self._here.rows

    def seconds(self, batch_size: int) -> float:
        """Seconds of the task in batches of that size, reading and decoding included."""
        phase, (work,) = self._here.vectors
        task = replace(work.task, args=replace(work.task.args, batch_size=batch_size))
        (outcome,) = Here(self._here.root).run(phase, [replace(work, task=task)])
        if outcome.file is None:  # what it did a moment ago, and with this size cannot
            raise outcome.error or JobError(
                f"batch_size {batch_size}: too large for this machine's memory"
            )
        return max(outcome.seconds, 1e-9)


class _Keeping(Here):
    """An executor in this process that keeps the task that embeds."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.root, self.rows = root, 0
        self.vectors: tuple[Phase[Any], Sequence[Work]]

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """The outcomes of ``Here``."""
        for outcome in super().run(phase, works):
            if phase.name == "vectors":
                self.vectors = (phase, works)
                self.rows = sum(outcome.file.rows) if outcome.file else 0
            yield outcome
