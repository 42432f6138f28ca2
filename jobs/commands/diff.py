"""``tamis diff``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display
from tamis.pipeline.audit.compare.diff import Difference, diff

CAPTION = 60
"""Most characters of a caption in a table."""

MOST = 30
"""Most rows of a table."""

ABSENT = "(not there)"


def diff_runs(before: str, after: str, count: int, *, json: bool) -> None:
    """Show the samples whose fate differs between two runs.

    Raises:
        TamisError: no finished run.
    """
    difference = diff(opened(before), opened(after), count)
    if json:
        more = {"came": difference.came, "went": difference.went, "only": difference.only}
        display.echo(
            display.as_json({"before": before, "after": after, **asdict(difference), **more})
        )
        return
    out = display.console()
    for title, changes in (
        ("setting", difference.settings),
        ("version of", difference.versions),
        ("input", difference.inputs),
    ):
        _show_changes(title, changes)
    out.print(
        f"kept {display.count(difference.kept[0])} -> {display.count(difference.kept[1])}: "
        f"{display.count(difference.came)} come, {display.count(difference.went)} go"
    )
    if any(difference.only):
        one, two = difference.only
        out.print(
            f"only in the first {display.count(one)}, only in the second {display.count(two)}"
        )
    if difference.moves:
        _show_moves(difference)
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


def _show_moves(difference: Difference) -> None:
    rows = [
        [before or ABSENT, after or ABSENT, display.count(samples)]
        for before, after, samples in difference.moves
    ]
    out = display.console()
    display.print_table(
        out, display.table([("first", "left"), ("second", "left"), ("samples", "right")], rows)
    )
    if not difference.samples:
        return
    out.print()
    rows = [
        [
            display.plain(sample["key"], CAPTION),
            display.plain(sample["text"] or "", CAPTION),
            sample["before"] or ABSENT,
            sample["after"] or ABSENT,
        ]
        for sample in difference.samples
    ]
    names = ("key", "caption", "first", "second")
    display.print_table(out, display.table([(name, "left") for name in names], rows))
