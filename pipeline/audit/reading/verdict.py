"""An evaluation in words: sizes at which a selector beats random pairs, and reaches the full set."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tamis.pipeline.audit.reading.paired import paired
from tamis.schemas.evaluation import (
    ALONE,
    DEDUPLICATED,
    EPOCHS,
    FULL,
    HEADLINE,
    METRICS,
    OWN,
    RANDOM,
    SIGNIFICANT,
    Evaluation,
    Figure,
    Point,
    random_beside,
    undistilled,
    with_target,
)

LEAST_GAIN = 0.1
"""Share by which all pairs must exceed the smallest random choice for sizes to make a difference."""


def verdict(evaluation: Evaluation, selector: str) -> str:
    """One sentence about one selector's headline metric."""
    line = evaluation.line(selector)
    if len(evaluation.splits) == 1:
        return f"{selector}: one seed, so nothing is tested{_reach(evaluation, line)}"
    comparison = "; ".join(
        _against(evaluation, line, base) for base in _bases(evaluation, selector)
    )
    return f"{selector}: {comparison}{_reach(evaluation, line)}"


def _bases(evaluation: Evaluation, selector: str) -> list[str]:
    """The lines that a selector is tested against."""
    beside = random_beside(selector)
    if beside is None:
        return []
    plain, alpha = undistilled(selector)
    if alpha:
        return [plain]
    if beside != RANDOM:
        return [beside, ALONE]
    if selector in (DEDUPLICATED, OWN) or not evaluation.line(DEDUPLICATED):
        return [RANDOM]
    # Beating random pairs is no merit of a selector where a random choice of the deduplicated does so too.
    return [RANDOM, DEDUPLICATED]


def _against(evaluation: Evaluation, line: Sequence[Point], base: str) -> str:
    """Sizes at which a line is better or worse than that of ``base``, by a paired test at each size."""
    by_outcome: dict[str, list[Point]] = {}
    for point in line:
        other = evaluation.point(base, 0.0 if base == ALONE else point.budget)
        if other is not None:
            by_outcome.setdefault(_compared(point.headline, other.headline), []).append(point)
    if list(by_outcome) == ["no different from"]:
        return f"no different from {base} at any size"
    return ", ".join(
        f"{outcome} {base} at {_shares(points)}" for outcome, points in by_outcome.items()
    )


def _compared(own: Figure, other: Figure) -> str:
    p = paired(own.values, other.values)
    if p is None or p >= SIGNIFICANT:
        return "no different from"
    return "better than" if own.mean > other.mean else "worse than"


def chance(evaluation: Evaluation) -> str:
    """The expected number of significant tests if no choice made any difference, in words."""
    pairs = [
        (point, evaluation.point(base, 0.0 if base == ALONE else point.budget))
        for selector in compared(evaluation)
        for base in _bases(evaluation, selector)
        for point in evaluation.line(selector)
    ]
    tests = sum(
        1
        for point, base in pairs
        if base and paired(point.headline.values, base.headline.values) is not None
    )
    if not tests:
        return "no test: that takes two seeds, and figures that differ"
    what = "1 paired t-test" if tests == 1 else f"{tests} paired t-tests"
    return (
        f"{what} over {len(evaluation.splits)} seeds: at p < {SIGNIFICANT:g} about "
        f"{tests * SIGNIFICANT:.2g} would come out by chance alone"
    )


def compared(evaluation: Evaluation) -> list[str]:
    """The selectors that get a verdict."""
    bases = (RANDOM, FULL, ALONE, with_target(RANDOM))
    return [name for name in evaluation.selectors if name not in bases]


def significant(point: Point, metric: str = HEADLINE) -> bool:
    """Tell whether the point differs significantly from random pairs."""
    against = point.figures[metric].against_random
    return against is not None and against.p is not None and against.p < SIGNIFICANT


def _shares(points: Sequence[Point]) -> str:
    return ", ".join(f"{100 * point.budget:.3g}%" for point in points)


def _reach(evaluation: Evaluation, line: Sequence[Point]) -> str:
    """A clause about reaching the full set, with the length of training of which alone it is true."""
    full = evaluation.full
    smaller = [point for point in line if point.budget < 1]
    if full is None or not smaller or not _full_is_a_measure(evaluation, full):
        return ""
    what = (
        f"; after {evaluation.training.steps:,} steps reaches the full set's {METRICS[HEADLINE]} of "
        f"{full.headline.mean:.3f}"
    )
    first = _reaching(smaller, full)
    if first is None:
        return f"{what} at no size{_reached_before(evaluation, line)}"
    p = paired(first.headline.values, full.headline.values)
    tested = "" if p is None else f" (p {'< 0.01' if p < 0.01 else f'= {p:.2f}'} between them)"
    return f"{what} with {100 * first.budget:.3g}% of the pairs{tested}"


def _reached_before(evaluation: Evaluation, line: Sequence[Point]) -> str:
    """What a longer training has taken back: the longest of the shorter ones after which the selector reached it."""
    for steps in reversed([n for n in evaluation.lengths if n < evaluation.training.steps]):
        then = evaluation.after(steps)
        full = then.full
        if full is None or not line or not _full_is_a_measure(then, full):
            continue
        first = _reaching(then.line(line[0].selector), full)
        if first is not None:
            return f", though it did with {100 * first.budget:.3g}% after {steps:,}"
    return ""


def _reaching(line: Sequence[Point], full: Point) -> Point | None:
    """The smallest choice that is as good as all pairs."""
    return next((point for point in line if point.headline.mean >= full.headline.mean), None)


def _full_is_a_measure(evaluation: Evaluation, full: Point) -> bool:
    """Whether reaching the full set says something: it has learned, and sizes make a difference."""
    return not _is_chance(evaluation, full) and tells_sizes(evaluation)


def tells_sizes(evaluation: Evaluation) -> bool:
    """Whether more random pairs make a better model here: only then it says something to reach the full set.

    All pairs, or else the largest random choice, must be better than the smallest random one by ``LEAST_GAIN``, and by
    a paired test.
    """
    smallest, largest = _ends(evaluation)
    if smallest is None or largest is None:
        return False
    p = paired(largest.headline.values, smallest.headline.values)
    gain = largest.headline.mean / smallest.headline.mean if smallest.headline.mean else math.inf
    return p is not None and p < SIGNIFICANT and gain >= 1 + LEAST_GAIN


def _ends(evaluation: Evaluation) -> tuple[Point | None, Point | None]:
    """The smallest random choice and all pairs, or the largest random choice; None where there is no such point."""
    line = evaluation.line(RANDOM)
    if not line:
        return None, None
    largest = evaluation.full or (line[-1] if len(line) > 1 else None)
    return line[0], largest


def training_told(evaluation: Evaluation) -> str:
    """A sentence about the length of the training, and what it allows to be said."""
    steps, epochs = evaluation.training.steps, evaluation.epochs
    line = f"all of it after {steps:,} steps, in which all pairs of the pool are seen {epochs:.2g} times"
    smallest, largest = _ends(evaluation)
    one = len(evaluation.splits) == 1
    if smallest is None or largest is None or one or tells_sizes(evaluation):
        return f"{line}; a longer training may order the choices otherwise: --steps {steps},{4 * steps} shows it"
    ends = (
        f"random pairs have {smallest.headline.mean:.3f} at {100 * smallest.budget:.3g}%, and "
        f"{'all' if largest.selector == FULL else 'the most of them'} {largest.headline.mean:.3f}"
    )
    why = "too short to tell sizes apart" if epochs < EPOCHS else "sizes cannot be told apart"
    return f"{line}: {why} ({ends}), so nothing is said of reaching the full set; --steps {4 * steps} trains longer"


def by_luck(evaluation: Evaluation) -> str:
    """The headline metric by chance alone, and a warning if no training exceeded it, of all pairs neither."""
    line = f"{METRICS[HEADLINE]} by chance is {evaluation.chance:.3f}"
    full = evaluation.full
    every = [point for name in evaluation.selectors for point in evaluation.line(name)]
    if full is None or not all(_is_chance(evaluation, point) for point in every):
        return line
    return (
        f"{line}, and trained on all pairs it is {full.headline.mean:.3f}: in {evaluation.training.steps:,} steps "
        "nothing was learned from them, so that differences between choices mean nothing"
    )


def _is_chance(evaluation: Evaluation, point: Point) -> bool:
    """Near chance: less than half as much again."""
    return point.headline.mean < 1.5 * evaluation.chance


def curve(evaluation: Evaluation) -> list[list[str]]:
    """Rows of a table of HEADLINE after every length of training: selector, budget, and a figure a length."""
    rows = []
    for selector in evaluation.selectors:
        for point in evaluation.line(selector):
            cells = [selector, f"{100 * point.budget:.3g}%"]
            for steps in evaluation.lengths:
                found = evaluation.after(steps).point(selector, point.budget)
                cells.append("" if found is None else told(found.headline))
            rows.append(cells)
    return rows


def by_source(evaluation: Evaluation) -> list[list[str]]:
    """Rows of a table of HEADLINE of each source of test pairs: selector, budget, and a figure a source."""
    names = [Evaluation.of_source(HEADLINE, source) for source in evaluation.sources]
    return [
        [selector, f"{100 * point.budget:.3g}%", *(told(point.figures[name]) for name in names)]
        for selector in evaluation.selectors
        for point in evaluation.line(selector)
    ]


def by_group(evaluation: Evaluation) -> list[list[str]]:
    """Rows of a table of HEADLINE of each group of test pairs: selector, budget, and a figure a group."""
    names = [Evaluation.of_group(HEADLINE, group) for group in evaluation.groups]
    return [
        [selector, f"{100 * point.budget:.3g}%", *(told(point.figures[name]) for name in names)]
        for selector in evaluation.selectors
        for point in evaluation.line(selector)
    ]


def distillation(evaluation: Evaluation) -> list[str]:
    """A sentence for each alpha: what a teacher adds at each size, the mean over the selectors."""
    gains: dict[str, dict[float, list[float]]] = {}
    for selector in evaluation.selectors:
        plain, alpha = undistilled(selector)
        for point in evaluation.line(selector) if alpha else []:
            other = evaluation.point(plain, point.budget)
            if other is not None:
                gain = point.headline.mean - other.headline.mean
                gains.setdefault(alpha, {}).setdefault(point.budget, []).append(gain)
    return [
        f"a teacher of all pairs, alpha {alpha}, adds to {METRICS[HEADLINE]} "
        + ", ".join(
            f"{sum(found) / len(found):+.3f} at {100 * budget:.3g}%"
            for budget, found in sorted(by_budget.items())
        )
        + ": means over the selectors"
        for alpha, by_budget in gains.items()
    ]


def told(figure: Figure) -> str:
    """Mean and spread of a share."""
    return f"{figure.mean:.3f} ± {figure.spread:.3f}"
