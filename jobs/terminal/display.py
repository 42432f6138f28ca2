"""Numbers, captions and tables as a terminal shows them. Text from the data is never read as markup."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tamis.schemas import terminal_text
from tamis.schemas.redaction import hide_known, redact_text
from tamis.schemas.terminal_text import plain_lines

RULE = Box(
    "    \n    \n -- \n    \n -- \n -- \n    \n    \n",
    ascii=True,
)
"""A line below the header, in characters that every terminal and log has."""

PIPE_WIDTH = 400
"""Columns of an output that is no terminal and states no width."""

WRAPPED = 20
"""Columns that a table of many leaves to a long text, at least."""

plain, as_json = terminal_text.plain, terminal_text.as_json


def echo(text: str = "", err: bool = False, nl: bool = True) -> None:
    """Print lines, on standard output or standard error: all text but tables goes through here or a ``console``."""
    typer.echo(plain_lines(hide_known(text)), err=err, nl=nl)


def note(text: str) -> None:
    """Print a line of the program's own on standard error, every address in it without its secrets."""
    typer.echo(f"tamis: {plain(redact_text(text))}", err=True)


class _PlainConsole(Console):
    """A console that shows text of the data as it is."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, strings and texts as ``plain_lines``."""
        super().print(*map(_shown, objects), **options)


def _shown(one: Any) -> Any:
    if isinstance(one, str):
        return plain_lines(hide_known(one))
    if isinstance(one, Text) and not one.spans and plain_lines(one.plain) != one.plain:
        return Text(plain_lines(one.plain), style=one.style)
    return one


def console(stderr: bool = False) -> Console:
    """A console on standard output or standard error; wide where no terminal limits it."""
    stream = sys.stderr if stderr else sys.stdout
    wide = not stream.isatty() and "COLUMNS" not in os.environ
    return _PlainConsole(
        file=stream, width=PIPE_WIDTH if wide else None, highlight=False, markup=False, emoji=False
    )


def print_table(out: Console, table: Table) -> None:
    """Print a table without trailing blanks; one with too many columns is wider than the terminal, and none is cut."""
    width = max(out.width, _least_width(out, table))
    for segments in out.render_lines(table, out.options.update(width=width), pad=False):
        line = Text.assemble(*((plain(piece.text), piece.style or "") for piece in segments))
        line.rstrip()
        out.print(line, soft_wrap=True)


def _least_width(out: Console, table: Table) -> int:
    """Columns that a table needs: no number is cut, and WRAPPED columns are left of a text."""
    wide = out.options.update(width=PIPE_WIDTH)
    widths = [
        max(out.measure(cell, options=wide).maximum for cell in (column.header, *column.cells))
        for column in table.columns
    ]
    natural = out.measure(table, options=wide).maximum
    saved = [
        0 if column.no_wrap else max(width - WRAPPED, 0)
        for column, width in zip(table.columns, widths, strict=True)
    ]
    return natural - sum(saved)


def count(number: int) -> str:
    """A count: 12,345."""
    return f"{number:,}"


def size(number: float) -> str:
    """Bytes in the largest unit of which there is at least one: 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(number) < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError("the last unit takes all")


def duration(seconds: float) -> str:
    """Seconds as 3.2 s, 4 min 10 s, 5.1 h, or 1,234 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 100 else f"{hours:,.0f} h"


def number(value: float | int | str | bool | None) -> str:
    """A signal's value with at most six digits; "none" without one."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> Table:
    """A table of plain texts; each column is its header and "left" or "right"."""
    grid = Table(box=RULE, pad_edge=False, show_edge=False, header_style="bold")
    for header, side in columns:
        grid.add_column(
            Text(plain(hide_known(header))),
            justify="right" if side == "right" else "left",
            overflow="fold",
            no_wrap=side == "right",
        )
    for row in rows:
        grid.add_row(*(Text(plain(hide_known(cell))) for cell in row))
    return grid
