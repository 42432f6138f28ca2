"""The sections of a report that show counts: funnel, reasons, signals, input files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.pipeline.audit.reading import distributions
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.funnel import funnel, losses, outcomes
from tamis.pipeline.audit.reading.pairs import remarks
from tamis.pipeline.audit.reading.sql import identifier
from tamis.pipeline.audit.reading.words import number, share
from tamis.pipeline.audit.report import charts
from tamis.pipeline.audit.report.html import element, table, text
from tamis.pipeline.steps.shared.audit import Limit
from tamis.schemas.ledger import meaning

if TYPE_CHECKING:
    import duckdb

WORST = 25
"""Input files that are shown, at most."""
VALUES = 12
"""Values shown of a signal that is not numeric, at most."""

KEY = (
    '<p class="key"><span><i class="kept"></i>kept</span>'
    '<span><i class="dropped"></i>dropped</span>{more}</p>'
)
THRESHOLD = '<span><i class="line"></i>threshold</span>'


def funnel_section(run: FinishedRun, connection: duckdb.DuckDBPyConnection) -> str:
    """The funnel: a bar for each step, with kept and dropped samples as shares of the input; and what to look at."""
    counted = funnel(run)
    rows = []
    for step in counted.steps:
        gone = sum(step.dropped.values())
        bar = charts.bar([("kept", step.kept), ("dropped", gone)], counted.rows_in)
        count = (
            f"{number(step.kept)} left, <b>{number(gone)}</b> dropped"
            if gone
            else number(step.kept)
        )
        name = element("div", text(step.step), class_="step")
        rows.append(
            element("div", name + bar + element("div", count, class_="count"), class_="row")
        )
    summary = (
        f"{number(counted.rows_in)} in = {number(counted.kept)} kept "
        f"+ {number(counted.dropped)} dropped."
    )
    notes = [*outcomes(run.steps, counted), *remarks(run, connection)]
    return (
        element("p", summary, class_="soft")
        + KEY.format(more="")
        + element("div", "".join(rows), class_="funnel")
        + "".join(element("p", text(line), class_="note") for line in notes)
    )


def reasons_section(run: FinishedRun) -> str:
    """A table with a row for each reason, the most frequent first."""
    counts = losses(run)
    if not counts:
        return element("p", "Nothing was dropped.")
    most = max(loss.samples for loss in counts)
    rows = []
    for step, reason, rule, bound, samples in counts:
        fields = {"reason": reason.replace("_", " "), "rule": rule, "bound": number(bound)}
        why = text(run.phrase(step, reason).format(**fields))
        bar = charts.bar([("dropped", samples)], most)
        part = share(samples, run.manifest.rows_in)
        words = text(meaning(reason, run.settings_of(step)))
        rows.append([text(step), why, number(samples), part, bar, words])
    columns = [("step", "left"), ("reason", "left"), ("samples", "right"), ("of input", "right")]
    return table([*columns, ("", "wide"), ("meaning", "left")], rows, "Reasons")


def signals_section(run: FinishedRun, connection: duckdb.DuckDBPyConnection) -> str:
    """The distribution of each signal, with the job's thresholds."""
    bounds = distributions.limits(run)
    kinds = distributions.signals(connection) | {"distance": "FLOAT"}
    figures = []
    for name, kind in kinds.items():
        if distributions.is_numeric(kind):
            figures.append(_histogram(connection, name, "INT" in kind, bounds.get(name, [])))
        else:
            figures.append(_values(connection, name))
    shown = "".join(figure for figure in figures if figure)
    return shown and KEY.format(more=THRESHOLD) + element("div", shown, class_="charts")


def _histogram(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    whole: bool,
    bounds: list[Limit],
) -> str:
    shown = distributions.histogram(connection, name, whole, [b.value for b in bounds])
    if shown is None:
        return ""
    marks = [charts.Mark(b.value, f"{b.side} {number(b.value)}") for b in bounds]
    title = {"distance": "distance to the concept's centroid"}.get(name, name)
    heading = element("b", text(title)) + f" {shown.total:,} samples"
    outside = distributions.describe(shown)
    below = element("div", text(outside), class_="soft") if outside else ""
    drawn = charts.histogram(shown, marks, name) if shown.only is None else ""
    for limit in bounds:
        if limit.kind == "bound":
            line = _suggested(connection, name, whole, limit)
            below += element("div", text(line), class_="soft")
    return element("figure", element("figcaption", heading) + drawn + below)


def _suggested(connection: duckdb.DuckDBPyConnection, name: str, whole: bool, limit: Limit) -> str:
    """The share of the samples with a value that a bound keeps, and other bounds: `0.28 keeps 11%; 30% is at 0.19`."""
    found = distributions.suggestions(connection, name, whole, limit.side, limit.value)
    if found is None:
        return ""
    bound, others = found
    said = f"{limit.side} {number(bound.bound)} keeps {bound.share:.0%}"
    at = [f"{one.share:.0%} is at {number(one.bound)}" for one in others]
    return "; ".join([said, ", ".join(at)]) if at else said


def _values(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """The most frequent values of a signal that is not numeric."""
    quoted = identifier(name)
    counts = connection.execute(
        f"SELECT {quoted}::VARCHAR, count_if(kept), count(*) AS n FROM ledger "  # it has a column `value`
        f"WHERE {quoted} IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1 LIMIT {VALUES}"
    ).fetchall()
    if not counts:
        return ""
    rows = [
        [
            text(value, 40) if value.strip() else element("span", "empty", class_="none"),
            charts.bar([("kept", kept), ("dropped", n - kept)], counts[0][2]),
            number(n),
        ]
        for value, kept, n in counts
    ]
    columns = [("value", "left"), ("", "wide"), ("samples", "right")]
    return element(
        "figure", element("figcaption", element("b", text(name))) + table(columns, rows, name)
    )


def inputs_section(run: FinishedRun, connection: duckdb.DuckDBPyConnection) -> str:
    """The input files of which the smallest share was kept."""
    files = connection.execute(
        "SELECT source, count(*) AS samples, count_if(kept) AS kept, "
        "count_if(step = 'ingest') AS unread, mode(reason ORDER BY reason) AS why "
        "FROM ledger GROUP BY source ORDER BY count_if(kept) / count(*), source "
        f"LIMIT {WORST}"
    ).fetchall()
    rows = [
        [
            text(source),
            number(samples),
            number(kept),
            share(kept, samples),
            charts.bar([("kept", kept), ("dropped", samples - kept)], samples),
            number(unread),
            text((why or "").replace("_", " ")),
        ]
        for source, samples, kept, unread, why in files
    ]
    columns = [
        ("input file", "left"),
        ("samples", "right"),
        ("kept", "right"),
        ("share", "right"),
        ("", "wide"),
        ("unreadable", "right"),
        ("most frequent reason", "left"),
    ]
    total = len(run.files.inputs)
    summary = f"The {len(files):,} of {total:,} input files of which the smallest share was kept."
    return element("p", summary, class_="soft") + table(columns, rows, "Input files")
