"""What an evaluation says in words: where a selector beats random pairs, and where it reaches the full set."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluate.paired import paired
from schemas.evaluation import (
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
    told = _against(evaluation, line, RANDOM)
    if selector not in (DEDUPLICATED, OWN) and evaluation.line(DEDUPLICATED):
        # Beating random pairs is no merit of a selector where a random choice of the deduplicated does so too.
        told += "; " + _against(evaluation, line, DEDUPLICATED)
    return f"{selector}: {told}{_reach(evaluation, line)}"


def _against(evaluation: Evaluation, line: Sequence[Point], base: str) -> str:
    """Where a line is better or worse than that of ``base``, by paired tests at each size."""
    found: dict[str, list[Point]] = {}
    for point in line:
        other = evaluation.point(base, point.budget)
        if other is not None:
            found.setdefault(_compared(point.headline, other.headline), []).append(point)
    if list(found) == ["no different from"]:
        return f"no different from {base} at any size"
    return ", ".join(f"{said} {base} at {_shares(points)}" for said, points in found.items())


def _compared(own: Figure, other: Figure) -> str:
    p = paired(own.values, other.values)
    if p is None or p >= SIGNIFICANT:
        return "no different from"
    return "better than" if own.mean > other.mean else "worse than"


def chance(evaluation: Evaluation) -> str:
    """How many of the tests would be called significant if nothing made any difference."""
    tests = sum(
        1
        for point in evaluation.points
        if point.selector != RANDOM
        and point.headline.against_random is not None
        and point.headline.against_random.p is not None
    )
    if not tests:
        return "no test: that takes two seeds, and figures that differ"
    return (
        f"{tests} paired t-tests over {len(evaluation.splits)} seeds: at p < {SIGNIFICANT:g} about "
        f"{tests * SIGNIFICANT:.0f} would come out by chance alone"
    )


def compared(evaluation: Evaluation) -> list[str]:
    """The selectors about which there is something to say."""
    return [name for name in evaluation.selectors if name not in (RANDOM, FULL)]


def significant(point: Point, metric: str = HEADLINE) -> bool:
    """Whether the paired test tells the point from random pairs."""
    against = point.figures[metric].against_random
    return against is not None and against.p is not None and against.p < SIGNIFICANT


def _shares(points: Sequence[Point]) -> str:
    return ", ".join(f"{100 * point.budget:.3g}%" for point in points)


def _reach(evaluation: Evaluation, line: Sequence[Point]) -> str:
    full = evaluation.full
    if full is None:
        return ""
    there = [point for point in line if point.headline.mean >= full.headline.mean]
    what = f"the full set's {METRICS[HEADLINE]} of {full.headline.mean:.3f}"
    if not there:
        return f"; never reaches {what}"
    return f"; reaches {what} with {100 * there[0].budget:.3g}% of the pairs"
