"""``tamis audit``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading import sql as queries
from tamis.pipeline.audit.reading import sql_tables
from tamis.pipeline.audit.reading.concept_names import names
from tamis.pipeline.audit.reading.concepts import trained
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.funnel import (
    Funnel,
    Loss,
    by_cluster_query,
    by_source_query,
    funnel,
    losses,
    losses_by_rule,
    words_for,
)
from tamis.pipeline.audit.reading.funnel import sample as sample_rows
from tamis.pipeline.audit.reading.pairs import drawn, remarks
from tamis.pipeline.audit.reading.words import share
from tamis.pipeline.results import delta
from tamis.schemas.errors import JobError
from tamis.schemas.ledger import meaning

if TYPE_CHECKING:
    import duckdb

CAPTION = 60
"""Most characters of a caption in a table."""
SHEET = 500
"""Pairs of a contact sheet, unless -n says another number."""


def audit_run(
    path: str,
    *,
    by: Literal["source", "cluster"] | None,
    sample: str | None,
    count: int | None,
    sql: str | None,
    edges: str | None,
    html: str | None,
    json: bool,
) -> None:
    """Show the funnel, or the answer to one question about it.

    Raises:
        JobError: two questions at once.
        TamisError: no such run, reason or column.
    """
    options = (("--by", by), ("--sample", sample), ("--sql", sql), ("--edges", edges))
    questions = [name for name, value in options if value is not None]
    if len(questions) > 1:
        raise JobError(f"{' and '.join(questions)} are two questions: ask one at a time")
    if html is not None and (edges is None or json):
        raise JobError("--html: it writes the sheet of --edges STEP, and without --json")
    run = opened(path)
    if edges is not None:
        _show_edges(run, edges, count, html, json)
        return
    if not questions:
        _show_funnel(run, json)
        return
    if sample is not None:
        with queries.connect(run, tables=False) as connection:
            answer = sample_rows(run, connection, sample, (count or 20) + 1)
        _show_answer(run, answer, count or 20, json)
        return
    limit = count or (0 if json else 50)
    most = limit + 1 if limit else None  # one row more shows whether there are more
    # The views over tables/ read a listing and an index of each phase: made only for a query that joins them.
    with queries.connect(run, tables=by != "source") as connection:
        if sql is not None:
            queries.confine(connection, run)
            answer = sql_tables.answer(run, connection, sql, most)
        elif by == "source":
            query = by_source_query(run, losses(run))
            answer = queries.ask(connection, query, limit=most)
        else:
            answer = _with_names(
                run, connection, queries.ask(connection, by_cluster_query(run), limit=most)
            )
            if "complexity" not in answer[0] and any("complexity" in s.measures for s in run.steps):
                display.echo("without complexities: tables/ has been cleared", err=True)
    _show_answer(run, answer, limit, json)
    training = trained(run) if by == "cluster" and not json else None
    if training:
        display.console().print(training)


def _with_names(
    run: FinishedRun,
    connection: duckdb.DuckDBPyConnection,
    answer: tuple[list[str], list[list[Any]]],
) -> tuple[list[str], list[list[Any]]]:
    """Rows that begin with a cluster, each with the cluster's name behind all others."""
    columns, rows = answer
    known = names(run, connection, [row[0] for row in rows])
    return [*columns, "name"], [[*row, known.get(row[0])] for row in rows]


def _show_funnel(run: FinishedRun, json: bool) -> None:
    totals = funnel(run)
    delta_counts = delta.counts(run.root)
    if json:
        more: dict[str, Any] = {"delta": delta_counts} if delta_counts else {}
        more["reasons"] = [loss._asdict() for loss in losses_by_rule(run)]
        with queries.connect(run, tables=False) as connection:
            more["notes"] = remarks(run, connection)
        display.echo(display.as_json({"run": run.root, **totals.to_json(), **more}))
        return
    out = display.console()
    display.print_table(out, funnel_table(run, reasons=False))
    out.print(balance(totals))
    if delta_counts:
        out.print(
            f"against the subset before: {display.count(delta_counts[delta.ADDED])} added, "
            f"{display.count(delta_counts[delta.MOVED_OUT])} moved out ({delta.FILE})"
        )
    if not totals.dropped:
        return
    with queries.connect(run, tables=False) as connection:
        notes = remarks(run, connection)
    columns = [("step", "left"), ("reason", "left"), ("samples", "right"), ("of input", "right")]
    out.print()
    display.print_table(
        out,
        display.table(
            [*columns, ("meaning", "left")],
            [_reason_row(run, loss) for loss in losses(run)],
        ),
    )
    if notes:
        out.print()
    for note in notes:
        out.print(note)


def _show_edges(
    run: FinishedRun, step: str, count: int | None, html: str | None, json: bool
) -> None:
    """The drops of a step of duplicates beside their survivors, as a table or as a sheet of pictures."""
    if html is not None:
        from tamis.jobs.terminal.pages import check_page, write_page
        from tamis.pipeline.audit.report.sheet import sheet

        check_page(html)
        write_page(html, sheet(run, step, count or SHEET))
        return
    with queries.connect(run, tables=False) as connection:
        pairs = drawn(run, connection, step, count or 20)
    names = ["value", "dropped", "text", "survivor", "survivor_text"]
    rows = [
        [pair.dropped["partner_value"], pair.dropped["uid"], pair.dropped["text"]]
        + ([pair.survivor["uid"], pair.survivor["text"]] if pair.survivor else [None, None])
        for pair in pairs
    ]
    _show_answer(run, (names, rows), 0, json)


def balance(totals: Funnel) -> str:
    """The balance of a run: rows in, kept and dropped."""
    return (
        f"{display.count(totals.rows_in)} in = {display.count(totals.kept)} kept "
        f"+ {display.count(totals.dropped)} dropped"
    )


def _reason_row(run: FinishedRun, loss: Loss) -> list[str]:
    return [
        loss.step,
        words_for(run, loss),
        display.count(loss.samples),
        share(loss.samples, run.rows_in),
        meaning(loss.reason, run.settings_of(loss.step)),
    ]


def funnel_table(run: FinishedRun, reasons: bool = True) -> Table:
    """A table with a row for each step that decides, and with ``reasons`` for each of its reasons and rules."""
    totals = funnel(run)
    found = losses(run) if reasons and totals.dropped else []
    rows = []
    for step in totals.steps:
        dropped = sum(step.dropped.values())
        rows.append(
            (
                step.step,
                display.count(step.entered),
                display.count(dropped),
                share(dropped, step.entered),
                display.count(step.kept),
                share(step.kept, totals.rows_in),
            )
        )
        # A single reason that is no bound would repeat the step's own row.
        of_step = [(words_for(run, loss), loss) for loss in found if loss.step == step.step]
        if len(of_step) > 1 or any(words != loss.reason for words, loss in of_step):
            for words, loss in of_step:
                n = loss.samples
                rows.append((f"  {words}", "", display.count(n), share(n, step.entered), "", ""))
    columns = [("step", "left"), ("entered", "right"), ("dropped", "right"), ("share", "right")]
    return display.table([*columns, ("kept", "right"), ("of input", "right")], rows)


def _show_answer(
    run: FinishedRun, answer: tuple[list[str], list[list[Any]]], limit: int, json: bool
) -> None:
    names, rows = answer
    more = bool(limit) and len(rows) > limit
    rows = rows[:limit] if limit else rows
    if json:
        names = _unique(names)
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        display.echo(display.as_json({"run": run.root, "rows": objects, "more": more}))
        return
    filled = [i for i in range(len(names)) if not rows or any(row[i] is not None for row in rows)]
    names = [names[i] for i in filled]
    rows = [[row[i] for i in filled] for row in rows]
    numeric = [
        all(isinstance(row[i], (int, float)) or row[i] is None for row in rows)
        for i in range(len(names))
    ]
    columns = [
        (name, "right" if right else "left") for name, right in zip(names, numeric, strict=True)
    ]
    out = display.console()
    display.print_table(
        out, display.table(columns, [[_cell(value) for value in row] for row in rows])
    )
    if more:
        out.print(f"the first {display.count(limit)}; -n {10 * limit} shows more")


def _unique(names: Sequence[str]) -> list[str]:
    """The names with numbers behind repeated ones, since a JSON object holds each name once."""
    unique: list[str] = []
    for name in names:
        free, number = name, 1
        while free in unique:
            number += 1
            free = f"{name}_{number}"
        unique.append(free)
    return unique


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return display.plain(value, CAPTION)
    if isinstance(value, (bool, int, float)):
        return display.number(value)
    return display.plain(display.as_json(value), CAPTION)
