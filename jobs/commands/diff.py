"""``tamis diff``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import typer

from tamis.jobs.terminal import display
from tamis.pipeline.audit.compare.diff import Difference, diff
from tamis.pipeline.audit.reading.finished_run import open_run

CAPTION = 60
"""Characters of a caption in a table."""

MOST = 30
"""Rows of a table."""

ABSENT = "(not there)"


def diff_runs(before: str, after: str, count: int, *, json: bool) -> None:
    """Show what moved from the first run to the second.

    Raises:
        TamisError: one of them is no finished run.
    """
    found = diff(open_run(before), open_run(after), count)
    if json:
        more = {"came": found.came, "went": found.went, "only": found.only}
        typer.echo(display.as_json({"before": before, "after": after, **asdict(found), **more}))
        return
    out = display.console()
    for title, changes in (
        ("setting", found.settings),
        ("version of", found.versions),
        ("input", found.inputs),
    ):
        _show_changes(title, changes)
    out.print(
        f"kept {display.count(found.kept[0])} -> {display.count(found.kept[1])}: "
        f"{display.count(found.came)} come, {display.count(found.went)} go"
    )
    if any(found.only):
        one, two = found.only
        out.print(
            f"only in the first {display.count(one)}, only in the second {display.count(two)}"
        )
    if found.moves:
        _show_moves(found)
    else:
        out.print("no sample has another fate")


def _show_changes(title: str, changes: Mapping[str, tuple[Any, Any]]) -> None:
    if not changes:
        return
    chosen = list(changes.items())[:MOST]
    rows = [
        [name, *(display.plain(str(value), CAPTION) for value in pair)] for name, pair in chosen
    ]
    out = display.console()
    display.print_table(
        out, display.table([(title, "left"), ("first", "left"), ("second", "left")], rows)
    )
    if len(changes) > MOST:
        out.print(f"and {display.count(len(changes) - MOST)} more")
    out.print()


def _show_moves(found: Difference) -> None:
    rows = [
        [before or ABSENT, after or ABSENT, display.count(samples)]
        for before, after, samples in found.moves
    ]
    out = display.console()
    display.print_table(
        out, display.table([("first", "left"), ("second", "left"), ("samples", "right")], rows)
    )
    if not found.samples:
        return
    out.print()
    rows = [
        [
            display.plain(sample["key"], CAPTION),
            display.plain(sample["text"] or "", CAPTION),
            sample["before"] or ABSENT,
            sample["after"] or ABSENT,
        ]
        for sample in found.samples
    ]
    names = ("key", "caption", "first", "second")
    display.print_table(out, display.table([(name, "left") for name in names], rows))
