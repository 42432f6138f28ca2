"""A law of what passes cost, fitted to small heads: trained on buckets of quality, one at a time, for some passes each.

The union of buckets is never trained on: the law predicts it from the buckets alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms import heads, order
from tamis.pipeline.algorithms.scaling_fit import Curves, Fit, drawn
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.evaluate.compare import LEAST_PAIRS, Bench, Trial
from tamis.pipeline.evaluate.holdout import Holdout
from tamis.pipeline.evaluate.pairs import Pairs, embedding_of
from tamis.pipeline.evaluate.sources import HeldOut, held_out, notes
from tamis.pipeline.evaluate.students import HEADS
from tamis.pipeline.tasks.product import Kind
from tamis.schemas.budget import Bucket, Law
from tamis.schemas.errors import JobError
from tamis.schemas.evaluation import HEADLINE, Training

PASSES = (0.5, 1, 2, 4, 8)
"""After which errors are measured, each by a training of its own. The half of one tells b from tau."""

BATCHES = 32
"""In a pass, where the least batch allows it."""

RATE = 1e-2
"""Five times that of ``tamis evaluate``: at its rate the first pass is too short to teach what is in it, later passes
teach more, and no law of repetition holds.
"""

DRAWS = 200
"""Laws that are fitted to draws of the measurements, for intervals."""


@dataclass(frozen=True)
class Measuring:
    """The settings by which heads are trained and measured.

    ``signal`` and ``best``: by what pairs are put into buckets, and which values come first; ``floor``: the law's d.
    """

    signal: str
    best: Literal["highest", "lowest"]
    buckets: int
    floor: float
    held_out: HeldOut
    seeds: int
    threads: int = 1


@dataclass(frozen=True)
class Fitted:
    """The law, others that the measurements allow as well, and what a person should know of them."""

    law: Law
    draws: list[Law]
    notes: list[str]


Told = Callable[[int, int], None]
"""Is told of the steps of all heads that are done, of so many; called with 0 before the first."""


def decider(run: FinishedRun, signal: str | None) -> tuple[str, Literal["highest", "lowest"]]:
    """The signal by which buckets are made, and which values are best: as the run's last step that keeps by it does.

    Without a ``signal`` that of the last such step, else the similarity of the embedding.
    """
    kept_by = [step.kept_by for step in run.steps if step.kept_by is not None]
    named = [of for of in kept_by if signal in (None, of[0])]
    if named:
        return named[-1]
    return signal or run.made_by(embedding_of(run).name, Kind.SIGNAL)[0], "highest"


def fit(run: FinishedRun, measuring: Measuring, told: Told | None = None) -> Fitted:
    """Train, measure and fit.

    Raises:
        JobError: too few pairs a bucket, or an option out of range.
        StateError: the run has no embeddings of both sides.
    """
    _check(measuring)
    seeds = range(measuring.seeds)
    division = held_out(run, measuring.held_out, [measuring.signal], None, seeds)
    pairs, holdouts = division.pairs, division.holdouts
    trials, size = _trials(pairs, holdouts, measuring)
    batch = min(heads.BATCH, max(LEAST_PAIRS, size // BATCHES))
    steps = [max(1, round(passes * size / batch)) for passes in PASSES]
    bench = Bench(pairs, holdouts, HEADS)
    errors = _measured(bench, trials, [_training(n, batch) for n in steps], measuring, told)
    passes = np.array(steps, np.float64) * batch / size
    curves = Curves(size, passes, batch, measuring.floor)
    found = curves.fit(errors.mean(axis=0))
    fits = []
    if measuring.seeds > 1:
        fits = [curves.fit(mean, found) for mean in drawn(errors, DRAWS, run.seed)]
    share = _reaching(run, measuring.signal) / (size * measuring.buckets)
    return Fitted(
        _law(found, fits, measuring, size * share, batch),
        [_law(one, [], measuring, size * share, batch) for one in fits],
        [
            *_told(measuring, found, errors, size),
            *notes(measuring.held_out, holdouts[0].split.sources),
            *division.notes,
        ],
    )


def _check(measuring: Measuring) -> None:
    if not 2 <= measuring.buckets <= 100:
        raise JobError(f"--buckets {measuring.buckets}: from 2 to 100")
    if measuring.seeds < 1:
        raise JobError(
            f"--seeds {measuring.seeds}: at least 1, and 5 for an interval that says something"
        )
    if not 0 <= measuring.floor < 1:
        raise JobError(f"--floor {measuring.floor:g}: an error that stays, from 0 to below 1")


def _trials(
    pairs: Pairs, holdouts: Sequence[Holdout], measuring: Measuring
) -> tuple[list[Trial], int]:
    """A trial for each seed and bucket, seed by seed; and the pairs of each bucket, the same for all seeds.

    Raises:
        JobError: there are too few.
    """
    ordered = [_ordered(pairs, held, measuring.best) for held in holdouts]
    size = min(len(rows) for rows in ordered) // measuring.buckets
    if size < LEAST_PAIRS:
        raise JobError(
            f"--buckets {measuring.buckets}: {size:,} pairs with a value of {measuring.signal} in each, and fewer than "
            f"{LEAST_PAIRS} teach nothing: take fewer buckets, or put `embed` before what drops so many"
        )
    trials = []
    for seed, rows in enumerate(ordered):
        cuts = np.linspace(0, len(rows), measuring.buckets + 1).astype(int)
        for bucket in range(measuring.buckets):
            own = rows[cuts[bucket] : cuts[bucket + 1]][:size]
            trials.append(Trial(f"bucket {bucket + 1}", 1 / measuring.buckets, seed, own))
    return trials, size


def _ordered(pairs: Pairs, held: Holdout, best: str) -> npt.NDArray[np.int64]:
    """The rows of a pool that have a value and that filters have left, the best first."""
    value = pairs.signals[:, 0]
    rows = held.pool[pairs.candidate[held.pool] & np.isfinite(value[held.pool])]
    sign = -1.0 if best == "lowest" else 1.0
    keys = order.descending(sign * value[rows])
    return rows[order.smallest(keys, pairs.uid[rows], len(rows))]


def _training(steps: int, batch: int) -> Training:
    return Training(steps=steps, batch=batch, width=heads.WIDTH, rate=RATE, decay=heads.DECAY)


def _measured(
    bench: Bench,
    trials: Sequence[Trial],
    trainings: Sequence[Training],
    measuring: Measuring,
    told: Told | None,
) -> npt.NDArray[np.float64]:
    """1 - R@10 of every seed, bucket and length of training."""
    total, before = len(trials) * sum(training.steps for training in trainings), 0
    if told is not None:
        told(0, total)
    columns = []
    for training in trainings:
        found = bench.measure(trials, training, measuring.threads)
        columns.append([1 - measured[HEADLINE] for measured in found])
        before += len(trials) * training.steps
        if told is not None:
            told(before, total)
    errors = np.array(columns, np.float64).T
    return errors.reshape(measuring.seeds, measuring.buckets, len(trainings))


def _reaching(run: FinishedRun, signal: str) -> int:
    """The samples that reach the step which keeps by the signal; without one those that the run keeps."""
    named = [
        step.name for step in run.steps if step.kept_by is not None and step.kept_by[0] == signal
    ]
    if not named:
        return run.manifest.kept
    return next(step.entered for step in run.manifest.steps if step.step == named[-1])


def _law(found: Fit, fits: Sequence[Fit], measuring: Measuring, samples: float, unit: float) -> Law:
    def interval(values: Sequence[float]) -> tuple[float, float] | None:
        if not values:
            return None
        low, high = np.quantile(values, [0.025, 0.975]).tolist()
        return (low, high)

    buckets = [
        Bucket(
            samples=samples,
            b=float(found.b[number]),
            tau=float(found.tau[number]),
            b_interval=interval([float(fit.b[number]) for fit in fits]),
            tau_interval=interval([float(fit.tau[number]) for fit in fits]),
        )
        for number in range(measuring.buckets)
    ]
    return Law(
        a=found.a,
        d=measuring.floor,
        unit=unit,
        signal=measuring.signal,
        best=measuring.best,
        buckets=tuple(buckets),
    )


def _told(
    measuring: Measuring, found: Fit, errors: npt.NDArray[np.float64], size: int
) -> list[str]:
    passes = ", ".join(map(str, PASSES))
    return [
        (
            f"fitted to heads trained on {measuring.buckets} buckets of {size:,} pairs by {measuring.signal}, for "
            f"{passes} passes, {counted(measuring.seeds, 'seed')}: error is 1 - R@10, from "
            f"{errors.mean(axis=0).max():.3f} to {errors.mean(axis=0).min():.3f}, and the law misses it by "
            f"{found.rest**0.5:.3f}. Linear heads are no "
            "CLIP: a direction, not a forecast"
        )
    ]
