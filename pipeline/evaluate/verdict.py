"""What an evaluation says in words: where a selector beats random pairs, and where it reaches the full set."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.evaluation import FULL, HEADLINE, METRICS, RANDOM, SIGNIFICANT, Evaluation, Point


def verdict(evaluation: Evaluation, selector: str) -> str:
    """One sentence about one selector's headline metric."""
    line = evaluation.line(selector)
    if len(evaluation.splits) == 1:
        return f"{selector}: one seed, so nothing is tested{_reach(evaluation, line)}"
    better, worse = _beyond(line, 1), _beyond(line, -1)
    told = []
    if better:
        told.append(f"better than random at {_shares(better)}")
    if worse:
        told.append(f"worse than random at {_shares(worse)}")
    rest = len(line) - len(better) - len(worse)
    if not better and not worse:
        told.append("no different from random at any size")
    elif rest:
        told.append(f"no different at {_shares([p for p in line if p not in better + worse])}")
    return f"{selector}: {', '.join(told)}{_reach(evaluation, line)}"


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


def _beyond(line: Sequence[Point], sign: int) -> list[Point]:
    return [
        point
        for point in line
        if significant(point)
        and point.headline.against_random is not None
        and point.headline.against_random.difference * sign > 0
    ]


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
