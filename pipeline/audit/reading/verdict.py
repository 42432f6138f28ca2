"""What an evaluation says in words: where a selector beats random pairs, and where it reaches the full set."""

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
    told = _against(evaluation, line, RANDOM)
    for base in _bases(evaluation, selector)[1:]:
        told += "; " + _against(evaluation, line, base)
    return f"{selector}: {told}{_reach(evaluation, line)}"


def _bases(evaluation: Evaluation, selector: str) -> list[str]:
    """What a selector is tested against."""
    if selector in (DEDUPLICATED, OWN) or not evaluation.line(DEDUPLICATED):
        return [RANDOM]
    # Beating random pairs is no merit of a selector where a random choice of the deduplicated does so too.
    return [RANDOM, DEDUPLICATED]


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
    if full is None or _is_chance(evaluation, full):
        return ""
    there = [point for point in line if point.headline.mean >= full.headline.mean]
    what = f"the full set's {METRICS[HEADLINE]} of {full.headline.mean:.3f}"
    if not there:
        return f"; never reaches {what}"
    p = paired(there[0].headline.values, full.headline.values)
    tested = "" if p is None else f" (p = {p:.2f} between them)"
    return f"; reaches {what} with {100 * there[0].budget:.3g}% of the pairs{tested}"


def by_luck(evaluation: Evaluation) -> str:
    """What the headline metric is by chance alone, and whether the full set teaches any more than that."""
    said = f"{METRICS[HEADLINE]} by chance is {evaluation.chance:.3f}"
    full = evaluation.full
    if full is None or not _is_chance(evaluation, full):
        return said
    return (
        f"{said}, and trained on all pairs it is {full.headline.mean:.3f}: nothing was learned from them, so that "
        "differences between choices mean nothing"
    )


def _is_chance(evaluation: Evaluation, point: Point) -> bool:
    """Near chance: less than half as much again."""
    return point.headline.mean < 1.5 * evaluation.chance
