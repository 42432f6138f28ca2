"""The report's section about an evaluation: plot, verdicts in words, and table."""

from __future__ import annotations

from tamis.pipeline.audit.reading.evaluation import stored
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.verdict import (
    by_group,
    by_luck,
    by_source,
    chance,
    compared,
    curve,
    distillation,
    significant,
    training_told,
    verdict,
)
from tamis.pipeline.audit.reading.words import number
from tamis.pipeline.audit.report.charts import Line, Mark, Value, key, lines, style
from tamis.pipeline.audit.report.html import element, table, text
from tamis.schemas.evaluation import FULL, HEADLINE, METRICS, OWN, RANDOM, Evaluation, Point


def evaluation_section(run: FinishedRun) -> str:
    """The section; "" for a run without an evaluation."""
    evaluation = stored(run)
    if evaluation is None:
        return ""
    verdicts = "".join(
        element("li", text(line))
        for line in (
            *(verdict(evaluation, name) for name in compared(evaluation)),
            *distillation(evaluation),
        )
    )
    notes = "".join(element("p", text(note), class_="soft") for note in evaluation.notes)
    return (
        element("p", text(_lead(evaluation)), class_="soft")
        + element("figure", _chart(evaluation))
        + element("ul", verdicts)
        + element("p", text(f"{by_luck(evaluation)}. {chance(evaluation)}."), class_="soft")
        + element("p", text(f"{training_told(evaluation)}."), class_="soft")
        + figures_table(evaluation)
        + _more_tables(evaluation)
        + notes
    )


def _lead(evaluation: Evaluation) -> str:
    counts = [count for split in evaluation.splits for count in split.sources.values()]
    sources, training = len(evaluation.sources), evaluation.training
    means = f" Figures are means over {sources} sources of test pairs." if sources > 1 else ""
    return (
        f"Trained: {evaluation.student}; encoder {evaluation.encoder}. {training.steps:,} steps of "
        f"{training.batch:,} pairs for every subset alike, {len(evaluation.splits)} seeds. {METRICS[HEADLINE]}: the "
        f"right one is among the nearest ten of {min(counts):,} or more held-out pairs, mean of both directions.{means}"
        " Bars: one standard deviation over the seeds. Held-out pairs share no picture, near-duplicate or caption with "
        "training pairs."
    )


def keyed_chart(evaluation: Evaluation) -> tuple[str, str]:
    """The chart for small screens, and the key to its lines."""
    return _chart(evaluation, named=False), key(_shown(evaluation))


def _shown(evaluation: Evaluation) -> list[Line]:
    names = [name for name in evaluation.selectors if name not in (FULL, RANDOM)]
    # Random last: it lies over the others, and everything is read against it.
    return [
        Line(
            name,
            {RANDOM: "random", OWN: "own"}.get(name, style(index)),
            [_value(point) for point in evaluation.line(name)],
        )
        for index, name in enumerate([*names, RANDOM])
    ]


def _chart(evaluation: Evaluation, named: bool = True) -> str:
    full = evaluation.full
    levels = [Mark(evaluation.chance, f"chance: {evaluation.chance:.3f}")]
    if full is not None:
        mean = round(sum(full.pairs) / len(full.pairs))
        levels.append(Mark(full.headline.mean, f"all {mean:,} pairs: {full.headline.mean:.3f}"))
    return lines(_shown(evaluation), levels, "share of the pool", METRICS[HEADLINE], named)


def _value(point: Point) -> Value:
    figure = point.headline
    label = (
        f"{point.selector} at {100 * point.budget:.3g}%: {figure.mean:.3f} ± {figure.spread:.3f}"
    )
    return Value(point.budget, figure.mean, figure.spread, label)


def figures_table(evaluation: Evaluation) -> str:
    """All selectors at all budgets: what was measured, and the difference to random pairs."""
    metrics = [name for name in METRICS if name in evaluation.points[0].figures]
    columns = [("selector", "left"), ("budget", "right"), ("pairs", "right")]
    columns += [(METRICS[name], "right") for name in metrics]
    columns += [(f"{METRICS[HEADLINE]} less random's", "right"), ("p", "right")]
    rows = [
        _row(point, metrics)
        for selector in evaluation.selectors
        for point in evaluation.line(selector)
    ]
    luck = [f"{evaluation.chance:.3f}" if name == HEADLINE else "" for name in metrics]
    rows.append(["chance", "", "", *luck, "", ""])
    return table(columns, rows, "Evaluation")


def _more_tables(evaluation: Evaluation) -> str:
    """The headline metric by source of test pairs, and by length of training; "" of one source and length."""
    shown = ""
    lengths = [f"{steps:,} steps" for steps in evaluation.lengths]
    for title, names, rows in (
        ("By source", evaluation.sources, by_source),
        ("By how common the subject is", evaluation.groups, by_group),
        ("By length of training", lengths, curve),
    ):
        if len(names) > 1:
            columns = [("selector", "left"), ("budget", "right")]
            columns += [(name, "right") for name in names]
            cells = [[text(cell) for cell in row] for row in rows(evaluation)]
            shown += element("h4", f"{METRICS[HEADLINE]}: {title.lower()}")
            shown += table(columns, cells, title)
    return shown


def _row(point: Point, metrics: list[str]) -> list[str]:
    mean = round(sum(point.pairs) / len(point.pairs))
    row = [text(point.selector), f"{100 * point.budget:.3g}%", number(mean)]
    for name in metrics:
        figure = point.figures[name]
        row.append(f"{figure.mean:.3f} ± {figure.spread:.3f}")
    against = point.headline.against_random
    if against is None:
        return [*row, "", ""]
    difference = f"{against.difference:+.3f}"
    p = "" if against.p is None else f"{against.p:.3f}"
    return [*row, element("b", difference) if significant(point) else difference, p]
