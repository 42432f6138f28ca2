"""The report's section about an evaluation: the plot, what it says in words, and the figures behind it."""

from __future__ import annotations

from tamis.pipeline.audit.reading.evaluation import stored
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.verdict import by_luck, chance, compared, significant, verdict
from tamis.pipeline.audit.reading.words import number
from tamis.pipeline.audit.report.charts import Line, Mark, Value, lines
from tamis.pipeline.audit.report.html import element, table, text
from tamis.schemas.evaluation import FULL, HEADLINE, METRICS, OWN, RANDOM, Evaluation, Point

STYLES = 8
"""Colours of lines in the style sheet, taken in turn; the first line has the first."""


def _style(place: int) -> str:
    """A colour; of the second round of colours the lines are dashed."""
    return f"s{place % STYLES}{' again' if place >= STYLES else ''}"


def evaluation_section(run: FinishedRun) -> str:
    """Nothing where the run has not been evaluated."""
    found = stored(run)
    if found is None:
        return ""
    said = "".join(element("li", text(verdict(found, name))) for name in compared(found))
    notes = "".join(element("p", text(note), class_="soft") for note in found.notes)
    return (
        element("p", text(_lead(found)), class_="soft")
        + element("figure", _chart(found))
        + element("ul", said)
        + element("p", text(f"{by_luck(found)}. {chance(found)}."), class_="soft")
        + _table(found)
        + notes
    )


def _lead(found: Evaluation) -> str:
    tested = [split.tested for split in found.splits]
    training = found.training
    return (
        f"Two linear heads over the frozen embeddings of {found.encoder}, {training.steps:,} steps of "
        f"{training.batch:,} pairs for every subset alike, {len(found.splits)} seeds. {METRICS[HEADLINE]}: the right "
        f"one is among the nearest ten of {min(tested):,} or more held-out pairs, mean of both directions. Bars: one "
        "standard deviation over the seeds. Held-out pairs share no picture, near-duplicate or caption with what was "
        "trained on."
    )


def _chart(found: Evaluation) -> str:
    names = [name for name in found.selectors if name not in (FULL, RANDOM)]
    # Random last: it lies over the others, and everything is read against it.
    shown = [
        Line(
            name,
            {RANDOM: "random", OWN: "own"}.get(name, _style(place)),
            [_value(point) for point in found.line(name)],
        )
        for place, name in enumerate([*names, RANDOM])
    ]
    full = found.full
    levels = [Mark(found.chance, f"chance: {found.chance:.3f}")]
    if full is not None:
        mean = round(sum(full.pairs) / len(full.pairs))
        levels.append(Mark(full.headline.mean, f"all {mean:,} pairs: {full.headline.mean:.3f}"))
    return lines(shown, levels, "share of the pool", METRICS[HEADLINE])


def _value(point: Point) -> Value:
    figure = point.headline
    label = (
        f"{point.selector} at {100 * point.budget:.3g}%: {figure.mean:.3f} ± {figure.spread:.3f}"
    )
    return Value(point.budget, figure.mean, figure.spread, label)


def _table(found: Evaluation) -> str:
    metrics = [name for name in METRICS if name in found.points[0].figures]
    columns = [("selector", "left"), ("budget", "right"), ("pairs", "right")]
    columns += [(METRICS[name], "right") for name in metrics]
    columns += [(f"{METRICS[HEADLINE]} less random's", "right"), ("p", "right")]
    rows = [_row(point, metrics) for selector in found.selectors for point in found.line(selector)]
    luck = [f"{found.chance:.3f}" if name == HEADLINE else "" for name in metrics]
    rows.append(["chance", "", "", *luck, "", ""])
    return table(columns, rows, "Evaluation")


def _row(point: Point, metrics: list[str]) -> list[str]:
    mean = round(sum(point.pairs) / len(point.pairs))
    row = [text(point.selector), f"{100 * point.budget:.3g}%", number(mean)]
    for name in metrics:
        figure = point.figures[name]
        row.append(f"{figure.mean:.3f} ± {figure.spread:.3f}")
    against = point.headline.against_random
    if against is None:
        return [*row, "", ""]
    said = f"{against.difference:+.3f}"
    p = "" if against.p is None else f"{against.p:.3f}"
    return [*row, element("b", said) if significant(point) else said, p]
