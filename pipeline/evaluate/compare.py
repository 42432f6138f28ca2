"""The comparison: for every seed a holdout, for every selector and budget a subset, for every subset two heads.

All subsets are chosen before any is trained on, because all train with one batch size: 128 pairs, or as many as the
smallest subset has.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms import heads
from tamis.pipeline.algorithms.heads import Scale, Sides
from tamis.pipeline.audit.reading.paired import paired
from tamis.pipeline.evaluate import measures
from tamis.pipeline.evaluate.choices import Choices, TooManyError, UnavailableError
from tamis.pipeline.evaluate.holdout import Holdout
from tamis.pipeline.evaluate.pairs import Pairs
from tamis.pipeline.steps.selectors.config import count_of
from tamis.schemas.errors import JobError
from tamis.schemas.evaluation import (
    ALONE,
    FULL,
    GEOMETRIC,
    HEADLINE,
    OWN,
    RANDOM,
    Comparison,
    Evaluation,
    Figure,
    Point,
    Training,
    random_beside,
    with_target,
)

LEAST_PAIRS = 16
"""Least size of a subset: a batch of a smaller one would hold hardly any wrong answers."""

Ints = npt.NDArray[np.int64]
Measured = dict[str, float]


@dataclass(frozen=True)
class Asked:
    """The comparison asked for: ``selectors`` at ``budgets`` (shares of the pool), for each of ``seeds``."""

    selectors: Sequence[str]
    budgets: Sequence[float]
    seeds: Sequence[int]


class Trial(NamedTuple):
    """One subset to train on: rows of the pairs."""

    selector: str
    budget: float
    seed: int
    rows: Ints
    with_target: bool = False  # on the known target's pairs too

    def size(self, target: Sides | None) -> int:
        """Pairs that are trained on."""
        known = 0 if target is None or not self.with_target else len(target.image)
        return len(self.rows) + known


def beside_target(trials: Sequence[Trial], seeds: Sequence[int]) -> list[Trial]:
    """Training on the target alone, and on the target and each of ``trials``."""
    nothing = np.empty(0, np.int64)
    alone = [Trial(ALONE, 0.0, seed, nothing, with_target=True) for seed in seeds]
    return alone + [
        trial._replace(selector=with_target(trial.selector), with_target=True) for trial in trials
    ]


@dataclass(frozen=True)
class Classes:
    """Embeddings of class names (classes, e), and the row of each pair's class, -1 where it has none."""

    vectors: npt.NDArray[np.float32]
    label: Ints


def plan(
    pairs: Pairs, holdouts: Sequence[Holdout], choices: Choices, asked: Asked
) -> tuple[list[Trial], list[str]]:
    """All subsets, and notes about those that cannot be made. ``holdouts`` are aligned with the seeds.

    A subset that one seed cannot have is left out for all of them.
    """
    own = [int(pairs.kept[holdout.pool].sum()) for holdout in holdouts]
    share = _share(own, holdouts) if OWN in asked.selectors else None
    trials: list[Trial] = []
    notes: list[str] = []
    for name, at in _wanted(asked, share):
        of_point: list[Trial] = []
        try:
            for index, (seed, holdout) in enumerate(zip(asked.seeds, holdouts, strict=True)):
                pool = holdout.pool_of(pairs)
                count = own[index] if at == share else count_of(at, len(pool))
                rows = holdout.pool[choices(name, pool, count, seed)]
                if len(rows) < LEAST_PAIRS:
                    raise UnavailableError(f"{len(rows):,} pairs, fewer than {LEAST_PAIRS}")
                of_point.append(Trial(name, at, seed, rows))
        except UnavailableError as error:
            most = ""
            if isinstance(error, TooManyError):
                most = f": at most {_most(pairs, holdouts, choices, name):g}%"
            notes.append(f"{name} at {100 * at:.3g}% is left out: {error}{most}")
            continue
        trials += of_point
    if not trials:
        raise JobError(f"--budgets: no subset can be made: {notes[0]}")
    return trials, notes


def _wanted(asked: Asked, share: float | None) -> list[tuple[str, float]]:
    """(selector, budget) of every point; the run's own choice is measured at its share, beside as many random pairs."""
    free = [name for name in asked.selectors if name not in (FULL, OWN)]
    wanted = [(name, at) for name in free for at in asked.budgets]
    if share is not None:
        wanted += [(OWN, share), (RANDOM, share)]
    if FULL in asked.selectors:
        wanted.append((FULL, 1.0))
    return list(dict.fromkeys(wanted))


def _most(pairs: Pairs, holdouts: Sequence[Holdout], choices: Choices, name: str) -> float:
    """Per cent of the pool that a selector can choose with every seed, rounded down to a tenth."""
    pools = [holdout.pool_of(pairs) for holdout in holdouts]
    return min(1000 * choices.most(name, pool) // len(pool) for pool in pools) / 10


def _share(own: Sequence[int], holdouts: Sequence[Holdout]) -> float:
    """The share of the pools that the run itself kept, rounded to four decimals."""
    return round(sum(own) / sum(len(holdout.pool) for holdout in holdouts), 4)


def measure(
    pairs: Pairs,
    holdouts: Sequence[Holdout],
    trials: Sequence[Trial],
    training: Training,
    classes: Classes | None = None,
    threads: int = 1,
    done: Callable[[int], None] | None = None,
    target: Sides | None = None,
) -> list[Measured]:
    """Train on every trial and measure on its seed's holdout, in the order of the trials.

    The result does not depend on ``threads``, the trials that are trained at once. ``done`` is told of progress;
    ``target``: pairs that trials with the target train on too.
    """
    sides = pairs.sides()
    by_seed = {holdout.split.seed: holdout for holdout in holdouts}
    scales = {
        seed: (Scale.of(sides.image[held.pool]), Scale.of(sides.text[held.pool]))
        for seed, held in by_seed.items()
    }

    def one(trial: Trial) -> Measured:
        scale = scales[trial.seed]
        known = target if trial.with_target else None
        return _trained(sides, by_seed[trial.seed], scale, trial, training, classes, known)

    found = []
    with ThreadPoolExecutor(threads) as pool:
        for measured in pool.map(one, trials):
            found.append(measured)
            if done is not None:
                done(len(found))
    return found


def _trained(
    sides: Sides,
    held: Holdout,
    scale: tuple[Scale, Scale],
    trial: Trial,
    training: Training,
    classes: Classes | None,
    target: Sides | None,
) -> Measured:
    """Train on one trial's rows, and the target's pairs, and measure on each source of its holdout.

    ``scale``: of pictures and captions.
    """
    image, text = scale
    own = np.arange(len(sides.image))
    caption = own if held.exchange is None else held.exchange.caption

    def scaled(rows: Ints, caption: Ints) -> Sides:
        return Sides(image(sides.image[rows]), text(sides.text[caption[rows]]))

    pairs = scaled(trial.rows, caption)
    if target is not None:
        known = Sides(image(target.image), text(target.text))
        pairs = Sides(*(np.concatenate(both) for both in zip(known, pairs, strict=True)))
    trained = heads.train(pairs, training, trial.seed)
    measured = over_sources(
        {name: measures.retrieval(trained, scaled(rows, own)) for name, rows in held.tested.items()}
    )
    if classes is not None:
        tested = np.concatenate(list(held.tested.values()))
        tested = tested[classes.label[tested] >= 0]
        pictures, names = image(sides.image[tested]), text(classes.vectors)
        measured["zero_shot"] = measures.zero_shot(trained, pictures, names, classes.label[tested])
    return measured


def over_sources(measured: Mapping[str, Measured]) -> Measured:
    """The mean of each metric over the sources; of several also HEADLINE's geometric mean, and it of each source."""
    every = list(measured.values())
    found = {metric: statistics.fmean(one[metric] for one in every) for metric in every[0]}
    if len(every) > 1:
        values = [one[HEADLINE] for one in every]
        found[GEOMETRIC] = statistics.geometric_mean(values) if min(values) > 0 else 0.0
        found |= {
            Evaluation.of_source(HEADLINE, name): measured[name][HEADLINE] for name in measured
        }
    return found


def batch_of(trials: Sequence[Trial], target: Sides | None = None) -> int:
    """The batch size, one for all subsets."""
    return min([heads.BATCH, *(trial.size(target) for trial in trials)])


def points(
    trials: Sequence[Trial],
    measured: Sequence[Measured],
    steps: int,
    target: Sides | None = None,
) -> list[Point]:
    """A point after so many steps for each selector and budget, compared with random pairs of its size."""
    together: dict[tuple[str, float], list[tuple[Trial, Measured]]] = {}
    for trial, figures in zip(trials, measured, strict=True):
        together.setdefault((trial.selector, trial.budget), []).append((trial, figures))
    made = []
    for (selector, share), held in together.items():
        beside = random_beside(selector)
        base = together.get((beside, share)) if beside not in (None, selector) else None
        shown = {
            metric: _figure(
                [found[metric] for _, found in held],
                [found[metric] for _, found in base] if base else None,
            )
            for metric in held[0][1]
        }
        pairs = tuple(trial.size(target) for trial, _ in held)
        made.append(Point(selector=selector, budget=share, steps=steps, pairs=pairs, figures=shown))
    return made


def _figure(values: list[float], base: list[float] | None) -> Figure:
    against = None
    if base is not None:
        against = Comparison(
            difference=statistics.fmean(values) - statistics.fmean(base), p=paired(values, base)
        )
    return Figure(
        values=tuple(values),
        mean=statistics.fmean(values),
        spread=statistics.stdev(values) if len(values) > 1 else 0.0,
        against_random=against,
    )
