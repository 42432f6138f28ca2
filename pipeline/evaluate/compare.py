"""The comparison: for every seed a holdout, for every selector and budget a subset, for every subset a student.

All subsets are chosen before any is trained on, because all train with one batch size: 128 pairs, or as many as the
smallest subset has.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms import heads
from tamis.pipeline.algorithms.contrastive import Learned, Sides, Teaching
from tamis.pipeline.audit.reading.paired import paired
from tamis.pipeline.evaluate import measures
from tamis.pipeline.evaluate.choices import Choices, TooManyError, UnavailableError
from tamis.pipeline.evaluate.holdout import Holdout
from tamis.pipeline.evaluate.measures import Ways
from tamis.pipeline.evaluate.pairs import Pairs
from tamis.pipeline.evaluate.students import Student
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
    distilled,
    random_beside,
    with_target,
)

LEAST_PAIRS = 16
"""Least size of a subset: a batch of a smaller one would hold hardly any wrong answers."""

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
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
    alpha: float = 0.0  # weight of what a teacher says, who was trained on all pairs

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


def with_teacher(trials: Sequence[Trial], alphas: Sequence[float]) -> list[Trial]:
    """Each of ``trials`` once more with a teacher, for each weight of what the teacher says."""
    return [
        trial._replace(selector=distilled(trial.selector, alpha), alpha=alpha)
        for alpha in alphas
        for trial in trials
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


@dataclass(frozen=True)
class Bench:
    """What all trials share: the pairs, a holdout a seed, the student, and what is measured beside retrieval.

    ``target``: pairs that trials with the target train on too. ``groups``: by seed and name, bool (n,), pairs whose
    recall is measured by itself.
    """

    pairs: Pairs
    holdouts: Sequence[Holdout]
    student: Student
    classes: Classes | None = None
    target: Sides | None = None
    groups: Mapping[int, Mapping[str, Mask]] = field(default_factory=dict)

    def measure(
        self,
        trials: Sequence[Trial],
        training: Training,
        threads: int = 1,
        done: Callable[[int], None] | None = None,
    ) -> list[Measured]:
        """Train on every trial and measure on its seed's holdout, in the order of the trials.

        The result does not depend on ``threads``, the trials that are trained at once. ``done`` is told how many of
        ``students_of(trials)`` are trained.
        """
        sides = self.student.sides(self.pairs)
        seats = {held.split.seed: _Seat.of(self, sides, held) for held in self.holdouts}
        taught = sorted({trial.seed for trial in trials if trial.alpha})
        teachers: dict[int, Learned] = {}
        found = []
        with ThreadPoolExecutor(threads) as pool:

            def taught_by_all(seed: int) -> Learned:
                return seats[seed].trained(seats[seed].held.pool, seed, training)

            def one(trial: Trial) -> Measured:
                return seats[trial.seed].measured(trial, training, teachers.get(trial.seed))

            for seed, teacher in zip(taught, pool.map(taught_by_all, taught), strict=True):
                teachers[seed] = teacher
                if done is not None:
                    done(len(teachers))
            for measured in pool.map(one, trials):
                found.append(measured)
                if done is not None:
                    done(len(teachers) + len(found))
        return found


def students_of(trials: Sequence[Trial]) -> int:
    """How many students are trained for some trials, teachers included."""
    return len(trials) + len({trial.seed for trial in trials if trial.alpha})


@dataclass(frozen=True)
class _Seat:
    """What the trials of one seed share."""

    bench: Bench
    sides: Sides
    held: Holdout
    scales: Callable[[Sides], Sides]
    captions: Ints  # the row whose caption each pair has in the pool

    @classmethod
    def of(cls, bench: Bench, sides: Sides, held: Holdout) -> _Seat:
        own = np.arange(len(sides.image))
        captions = own if held.exchange is None else held.exchange.caption
        return cls(bench, sides, held, bench.student.scales(sides.take(held.pool)), captions)

    def pairs(self, rows: Ints, captions: Ints | None = None) -> Sides:
        """Pairs as the student reads them, with their own captions or those of other rows."""
        told = rows if captions is None else captions[rows]
        return self.scales(Sides(self.sides.image[rows], self.sides.text[told]))

    def trained(
        self,
        rows: Ints,
        seed: int,
        training: Training,
        known: Sides | None = None,
        teacher: tuple[Learned, float] | None = None,
    ) -> Learned:
        """The student of some rows of the pool, and of ``known`` pairs; ``teacher``: one, and its weight."""
        pairs = self.pairs(rows, self.captions)
        if known is not None:
            both = zip(self.scales(known), pairs, strict=True)
            pairs = Sides(*(np.concatenate(side) for side in both))
        teaching = None if teacher is None else Teaching.of(teacher[0], pairs, teacher[1])
        return self.bench.student.train(pairs, training, seed, teaching)

    def measured(self, trial: Trial, training: Training, teacher: Learned | None) -> Measured:
        """Train on one trial's rows, and measure on each source of the holdout."""
        known = self.bench.target if trial.with_target else None
        told = (teacher, trial.alpha) if teacher is not None and trial.alpha else None
        learned = self.trained(trial.rows, trial.seed, training, known, told)
        ways = {
            name: measures.ways(learned, self.pairs(rows))
            for name, rows in self.held.tested.items()
        }
        found = over_sources({name: measures.retrieval(rank) for name, rank in ways.items()})
        groups = self.bench.groups.get(trial.seed, {})
        found |= over_groups(ways, self.held.tested, groups)
        if self.bench.classes is not None:
            found["zero_shot"] = self._zero_shot(learned, self.bench.classes)
        return found

    def _zero_shot(self, learned: Learned, classes: Classes) -> float:
        tested = np.concatenate(list(self.held.tested.values()))
        tested = tested[classes.label[tested] >= 0]
        seen = self.scales(Sides(self.sides.image[tested], classes.vectors))
        return measures.zero_shot(learned, seen.image, seen.text, classes.label[tested])


def over_groups(
    found: Mapping[str, Ways], tested: Mapping[str, Ints], groups: Mapping[str, Mask]
) -> Measured:
    """HEADLINE of the test pairs of each group, of all sources together; each is found among its whole source."""
    both = Ways(*(np.concatenate(way) for way in zip(*found.values(), strict=True)))
    rows = np.concatenate([tested[name] for name in found])
    measured = {}
    for name, mask in groups.items():
        within = Ways(*(rank[mask[rows]] for rank in both))
        measured[Evaluation.of_group(HEADLINE, name)] = within.recall(10)
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
