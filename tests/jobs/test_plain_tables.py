"""Nothing of the data commands the terminal: in headers as in cells, in texts and beside bars."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tamis.jobs.commands.audit import audit_run
from tamis.jobs.observers.progress import Bars
from tamis.jobs.terminal import display
from tamis.schemas.events import PhaseStarted
from tests.support.running import Sample, make_plan, picture, run_here, write_tar

EVIL = "sc\x1b]0;evil\x07\x1b[31more\u202e\x9b"
COMMANDS = ("\x1b", "\x07", "\u202e", "\x9b")


def is_plain(text: str) -> bool:
    return not any(command in text for command in COMMANDS)


def test_headers_and_cells_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    out = display.console()
    display.print_table(out, display.table([(EVIL, "left"), (EVIL, "right")], [[EVIL, EVIL]]))
    grid = Table.grid()
    grid.add_row(Text(EVIL), EVIL)
    display.print_table(out, grid)
    out.print(EVIL, Text(EVIL, style="bold"))
    printed = capsys.readouterr().out
    assert is_plain(printed)
    assert printed.count("evil") == 8
    assert printed.count(EVIL.encode("unicode_escape").decode()) >= 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    samples = [Sample(f"k{n}", picture(n), "two words", {EVIL: n}) for n in range(3)]
    path = write_tar(folder / "x.tar", samples)
    name = display.as_json(EVIL)
    steps = f"- signals: [{name}]\n- rules: {{{name}: {{min: 1}}}}\n- write"
    run_here(make_plan(folder / "run", path, steps))
    return folder / "run"


QUESTIONS = [
    {"sql": f'select 1 as "{EVIL}"'},
    {"sql": f"select '{EVIL}' as x"},
    {"by": "source"},
    {},
]


@pytest.mark.parametrize("question", QUESTIONS, ids=ascii)
def test_audit_is_plain(
    root: Path, question: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    none: dict[str, Any] = dict.fromkeys(("by", "sample", "count", "sql", "edges", "html"))
    audit_run(str(root), **{**none, **question}, json=False)
    printed = capsys.readouterr()
    assert "evil" in printed.out
    assert is_plain(printed.out + printed.err)


def test_bars_are_plain() -> None:
    stream = io.StringIO()
    bars = Bars(
        Console(file=stream, force_terminal=True, color_system=None), [f"[red]{EVIL}"], patience=0
    )
    bars(PhaseStarted(f"[red]{EVIL}", "phase", 1, 0, 1))
    assert bars._progress is not None
    bars._reveal(bars._progress)
    bars._end()
    shown = stream.getvalue()
    assert "[red]" in shown
    assert "evil\x07" not in shown
