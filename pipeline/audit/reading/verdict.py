"""An evaluation in words: sizes at which a selector beats random pairs, and reaches the full set."""

from __future__ import annotations

from collections.abc import Sequence

from tamis.pipeline.audit.reading.paired import paired
from tamis.schemas.evaluation import (
    DEDUPLICATED,
    FULL,
    HEADLINE,
    METRICS,
    OWN,
    RANDOM,
    SIGNIFICANT,
    Evaluation,
    Figure,
    Point,
)


def verdict(evaluation: Evaluation, selector: str) -> str:
    """One sentence about one selector's headline metric."""
    line = evaluation.line(selector)
    if len(evaluation.splits) == 1:
        return f"{selector}: one seed, so nothing is tested{_reach(evaluation, line)}"
    comparison = _against(evaluation, line, RANDOM)
    for base in _bases(evaluation, selector)[1:]:
        comparison += "; " + _against(evaluation, line, base)
    return f"{selector}: {comparison}{_reach(evaluation, line)}"


def _bases(evaluation: Evaluation, selector: str) -> list[str]:
    """The lines that a selector is tested against."""
    if selector in (DEDUPLICATED, OWN) or not evaluation.line(DEDUPLICATED):
        return [RANDOM]
    # Beating random pairs is no merit of a selector where a random choice of the deduplicated does so too.
    return [RANDOM, DEDUPLICATED]


def _against(evaluation: Evaluation, line: Sequence[Point], base: str) -> str:
    """Sizes at which a line is better or worse than that of ``base``, by a paired test at each size."""
    by_outcome: dict[str, list[Point]] = {}
    for point in line:
        other = evaluation.point(base, point.budget)
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
        (point, evaluation.point(base, point.budget))
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
    return [name for name in evaluation.selectors if name not in (RANDOM, FULL)]


def significant(point: Point, metric: str = HEADLINE) -> bool:
    """Tell whether the point differs significantly from random pairs."""
    against = point.figures[metric].against_random
    return against is not None and against.p is not None and against.p < SIGNIFICANT


def _shares(points: Sequence[Point]) -> str:
    return ", ".join(f"{100 * point.budget:.3g}%" for point in points)


def _reach(evaluation: Evaluation, line: Sequence[Point]) -> str:
    full = evaluation.full
    if full is None or _is_chance(evaluation, full):
        return ""
    reaching = [point for point in line if point.headline.mean >= full.headline.mean]
    what = f"the full set's {METRICS[HEADLINE]} of {full.headline.mean:.3f}"
    if not reaching:
        return f"; never reaches {what}"
    p = paired(reaching[0].headline.values, full.headline.values)
    tested = "" if p is None else f" (p = {p:.2f} between them)"
    return f"; reaches {what} with {100 * reaching[0].budget:.3g}% of the pairs{tested}"


def by_luck(evaluation: Evaluation) -> str:
    """The headline metric by chance alone, and a warning if training on all pairs did not exceed it."""
    line = f"{METRICS[HEADLINE]} by chance is {evaluation.chance:.3f}"
    full = evaluation.full
    if full is None or not _is_chance(evaluation, full):
        return line
    return (
        f"{line}, and trained on all pairs it is {full.headline.mean:.3f}: nothing was learned from them, so that "
        "differences between choices mean nothing"
    )


def _is_chance(evaluation: Evaluation, point: Point) -> bool:
    """Near chance: less than half as much again."""
    return point.headline.mean < 1.5 * evaluation.chance
