"""The report: one self-contained HTML file about a finished run.

It has no script, and its Content-Security-Policy allows only its own style sheet and the pictures written into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.funnel import funnel
from tamis.pipeline.audit.reading.pictures import Album, Pictures
from tamis.pipeline.audit.reading.words import number, share
from tamis.pipeline.audit.report import budget, costs, dropped, evaluation, samples, sections
from tamis.pipeline.audit.report.html import document, element, text

if TYPE_CHECKING:
    import duckdb

PICTURE_BYTES = 4_000_000
"""Bytes of encoded pictures in a report, at most; with everything else it stays below 5 MB."""


def report(run: FinishedRun) -> bytes:
    """The whole file, UTF-8.

    Raises:
        StateError: the run's account does not balance.
    """
    with sql.connect(run, tables=False) as connection:
        body = _body(run, connection)
    return document(f"{run.manifest.job['name']}: what was kept", body)


def _body(run: FinishedRun, connection: duckdb.DuckDBPyConnection) -> str:
    album = Album(Pictures(run), PICTURE_BYTES)
    shown = [("funnel", "Funnel", sections.funnel_section(run, connection))]
    if run.manifest.rows_in:
        shown += [
            ("evaluation", "Evaluation", evaluation.evaluation_section(run)),
            ("budget", "Budget", budget.budget_section(run)),
            ("reasons", "Reasons", sections.reasons_section(run)),
            ("dropped", "Dropped samples", dropped.dropped_section(run, connection, album)),
            ("signals", "Signals", sections.signals_section(run, connection)),
            ("concepts", "Concepts", samples.concepts_section(run, connection, album)),
            ("duplicates", "Duplicates", samples.duplicates_section(run, connection, album)),
            ("inputs", "Input files", sections.inputs_section(run, connection)),
        ]
    shown.append(("cost", "Cost", costs.cost_section(run)))
    shown = [item for item in shown if item[2]]
    links = "".join(
        element("li", element("a", text(title), href=f"#{key}")) for key, title, _ in shown
    )
    notes = "".join(element("p", text(note), class_="note") for note in album.notes)
    content = "".join(
        element("section", element("h2", text(title)) + inner, id=key)
        for key, title, inner in shown
    )
    return (
        element("header", _heading(run))
        + element("nav", element("ul", links), aria_label="Sections")
        + element("main", _tiles(run) + notes + content, id="main")
        + element("footer", element("p", f"tamis, {text(_version(run))}"))
    )


def _heading(run: FinishedRun) -> str:
    names = ", ".join(str(entry) for entry in sorted({i.source for i in run.files.inputs})[:1])
    count = len(run.files.inputs)
    more = f" and {count - 1:,} more files" if count > 1 else ""
    lead = f"What was kept of {text(names.removesuffix('./'))}{more}, and why the rest was not."
    return element("h1", text(run.manifest.job["name"])) + element("p", lead, class_="lead")


def _tiles(run: FinishedRun) -> str:
    counted = funnel(run)
    figures = [
        (number(counted.rows_in), "samples in"),
        (number(counted.kept), "kept"),
        (share(counted.kept, counted.rows_in), "of the input"),
        (number(counted.dropped), "dropped, each with its reason"),
        (number(len(run.outputs("shards"))), "files written"),
    ]
    tiles = "".join(
        element("div", element("b", value) + element("span", words), class_="tile")
        for value, words in figures
    )
    return element("div", tiles, class_="tiles")


def _version(run: FinishedRun) -> str:
    return next((v.version for v in run.manifest.versions if v.package == "tamis"), "")
