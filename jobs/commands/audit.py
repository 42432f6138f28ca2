"""``tamis audit``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import typer
from rich.table import Table

from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading import sql as asking
from tamis.pipeline.audit.reading.concepts import trained
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.reading.funnel import (
    BY_REASON,
    by_cluster_query,
    by_source_query,
    funnel,
)
from tamis.pipeline.audit.reading.funnel import sample as sampled
from tamis.pipeline.results import delta
from tamis.pipeline.steps.rules.config import ABOVE_MAXIMUM, BELOW_MINIMUM, NOT_ALLOWED
from tamis.pipeline.steps.shared.config import NO_VALUE
from tamis.schemas.errors import JobError
from tamis.schemas.ledger import meaning

CAPTION = 60
"""Characters of a caption in a table."""


def audit_run(
    path: str,
    *,
    by: Literal["source", "cluster"] | None,
    sample: str | None,
    count: int | None,
    sql: str | None,
    json: bool,
) -> None:
    """Show the funnel, or the answer to one question about it.

    Raises:
        JobError: two questions at once.
        TamisError: there is no such run, or the question makes no sense.
    """
    options = (("--by", by), ("--sample", sample), ("--sql", sql))
    asked = [name for name, value in options if value is not None]
    if len(asked) > 1:
        raise JobError(f"{' and '.join(asked)} are two questions: ask one at a time")
    run = open_run(path)
    if not asked:
        _show_funnel(run, json)
        return
    if sample is not None:
        with asking.connect(run, tables=False) as connection:
            answer = sampled(run, connection, sample, (count or 20) + 1)
        _show_answer(run, answer, count or 20, json)
        return
    limit = count or (0 if json else 50)
    most = limit + 1 if limit else None  # one row more than is shown tells whether there are more
    # The views over tables/ take a listing and an index for every phase: only what joins them waits for that.
    with asking.connect(run, tables=by != "source") as connection:
        if sql is not None:
            asking.confine(connection, run)
            answer = asking.ask_freely(connection, sql, most)
        elif by == "source":
            answer = asking.ask(connection, by_source_query(run), limit=most)
        else:
            answer = asking.ask(connection, by_cluster_query(run), limit=most)
            if "complexity" not in answer[0] and any("complexity" in s.measures for s in run.steps):
                typer.echo("without complexities: tables/ has been cleared", err=True)
    _show_answer(run, answer, limit, json)
    made = trained(run) if by == "cluster" and not json else None
    if made:
        display.console().print(made)


def _show_funnel(run: FinishedRun, json: bool) -> None:
    counted = funnel(run)
    changed = delta.counts(run.root)
    if json:
        more = {"delta": changed} if changed else {}
        typer.echo(display.as_json({"run": run.root, **counted.to_json(), **more}))
        return
    out = display.console()
    display.print_table(out, funnel_table(run, reasons=False))
    out.print(
        f"{display.count(counted.rows_in)} in = {display.count(counted.kept)} kept "
        f"+ {display.count(counted.dropped)} dropped"
    )
    if changed:
        out.print(
            f"against the subset before: {display.count(changed[delta.ADDED])} added, "
            f"{display.count(changed[delta.MOVED_OUT])} moved out ({delta.FILE})"
        )
    if not counted.dropped:
        return
    with asking.connect(run, tables=False) as connection:
        _, reasons = asking.ask(connection, BY_REASON)
    columns = [("step", "left"), ("reason", "left"), ("samples", "right"), ("of input", "right")]
    out.print()
    display.print_table(
        out,
        display.table(
            [*columns, ("meaning", "left")],
            [_reason_row(counted.rows_in, *reason) for reason in reasons],
        ),
    )


SIGNS = {BELOW_MINIMUM: "<", ABOVE_MAXIMUM: ">"}


def _reason_row(
    rows_in: int, step: str, reason: str, rule: str | None, bound: float | None, samples: int
) -> list[str]:
    sign = SIGNS.get(reason)
    said = f"{rule} {sign} {display.number(bound)}" if sign else reason
    if rule and not sign and reason in (NOT_ALLOWED, NO_VALUE):
        said = f"{rule}: {reason}"
    return [step, said, display.count(samples), display.share(samples, rows_in), meaning(reason)]


def funnel_table(run: FinishedRun, reasons: bool = True) -> Table:
    """A row a step that decides, and with ``reasons`` below it a row a reason."""
    counted = funnel(run)
    rows = []
    for step in counted.steps:
        dropped = sum(step.dropped.values())
        rows.append(
            (
                step.step,
                display.count(step.entered),
                display.count(dropped),
                display.share(dropped, step.entered),
                display.count(step.kept),
                display.share(step.kept, counted.rows_in),
            )
        )
        # One reason says nothing that the step's own row does not.
        if reasons and len(step.dropped) > 1:
            for reason, n in sorted(step.dropped.items(), key=lambda item: (-item[1], item[0])):
                rows.append(
                    (f"  {reason}", "", display.count(n), display.share(n, step.entered), "", "")
                )
    columns = [("step", "left"), ("entered", "right"), ("dropped", "right"), ("share", "right")]
    return display.table([*columns, ("kept", "right"), ("of input", "right")], rows)


def _show_answer(
    run: FinishedRun, answer: tuple[list[str], list[list[Any]]], limit: int, json: bool
) -> None:
    names, rows = answer
    more = bool(limit) and len(rows) > limit
    rows = rows[:limit] if limit else rows
    if json:
        names = _unlike(names)
        found = [dict(zip(names, row, strict=True)) for row in rows]
        typer.echo(display.as_json({"run": run.root, "rows": found, "more": more}))
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


def _unlike(names: Sequence[str]) -> list[str]:
    """The names, each once: an object of JSON would lose all but the last of those that are alike."""
    unlike: list[str] = []
    for name in names:
        free, number = name, 1
        while free in unlike:
            number += 1
            free = f"{name}_{number}"
        unlike.append(free)
    return unlike


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return display.plain(value, CAPTION)
    if isinstance(value, (bool, int, float)):
        return display.number(value)
    return display.plain(display.as_json(value), CAPTION)
