"""A long phase has a bar with its rate and the time left, on a terminal; elsewhere there is a line every so often."""

import io
import time

import pytest
from rich.console import Console

from tamis.jobs.observers.notebook import LiveTable, in_notebook
from tamis.jobs.observers.progress import Bars
from tamis.jobs.observers.pulse import Pulse
from tamis.schemas.events import Event, Notice, PhaseEnded, PhaseStarted, StepEnded, TaskDone
from tamis.schemas.scope import Scope

ROWS: list[Event] = [
    PhaseStarted("embed", "vectors", tasks=4, found=0, rows=4000),
    TaskDone(
        "embed", "vectors", "part-00000", Scope.PART, rows=1000, written=990, bytes=5, seconds=0.1
    ),
]
FILES: list[Event] = [
    PhaseStarted("ingest", "files", tasks=8, found=2, rows=0),
    TaskDone(
        "ingest", "files", "file-00000", Scope.FILE, rows=0, written=500, bytes=5, seconds=0.1
    ),
]


STEPS = ["ingest", "rules", "embed", "ledger"]


def shown(events: list[Event], terminal: bool, patience: float, until: str = "") -> str:
    """What is on the screen once ``until`` is, or after ten seconds, before the phase ends."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120, color_system=None)
    with Bars(console, STEPS, patience=patience) as bars:
        for event in events:
            bars(event)
        for _ in range(1000):
            if until in file.getvalue():
                break
            time.sleep(0.01)
        return file.getvalue()


def test_a_phase_over_samples_counts_samples() -> None:
    text = shown([*ROWS], terminal=True, patience=0, until="1,000/4,000")
    assert "step 3 of 4, embed vectors" in text
    assert "so far" in text
    assert "1,000/4,000" in text
    assert "samples/s" in text
    assert "0:00:" in text or "-:--" in text or "--:--" in text  # the time left


def test_the_walk_over_the_input_counts_files() -> None:
    text = shown([*FILES], terminal=True, patience=0, until="1/8 files")
    assert "ingest files" in text
    assert "1/8 files" in text
    assert "samples/s" in text


def test_a_short_phase_is_not_shown() -> None:
    ended = PhaseEnded("embed", "vectors", 0.2)
    assert shown([*ROWS, ended, *FILES], terminal=True, patience=60) == ""


def test_a_step_that_has_decided_keeps_its_line() -> None:
    decided = StepEnded("rules", 5, {"below_minimum": 2}, 0.1)
    assert shown([decided], terminal=True, patience=60) == ""  # nothing has run
    text = shown([*ROWS, decided], terminal=True, patience=60, until="rules")
    assert text == "step 2 of 4, rules: 5 in = 3 kept + 2 dropped, 0.1 s\n"


def pulsed(events: list[Event], interval: float, until: str = "") -> str:
    """What is written off a terminal once ``until`` is, or after ten seconds."""
    file = io.StringIO()
    with Pulse(file, STEPS, interval=interval) as pulse:
        for event in events:
            pulse(event)
        for _ in range(1000):
            if until in file.getvalue():
                break
            time.sleep(0.01)
    return file.getvalue()


def test_off_a_terminal_a_line_comes_while_a_phase_is_at_work() -> None:
    text = pulsed([*ROWS], interval=0.05, until="so far")
    line = text.splitlines()[0]
    assert line.startswith("tamis: step 3 of 4, embed vectors: 1,000 of 4,000 samples, ")
    assert "left, " in line
    assert "1 of 8 files" in pulsed([*FILES], interval=0.05, until="so far")


def test_off_a_terminal_a_line_comes_before_anything_has_begun() -> None:
    assert pulsed([], interval=0.05, until="so far").startswith("tamis: at work, ")


def test_off_a_terminal_there_is_no_line_more_often() -> None:
    assert pulsed([*ROWS], interval=3600) == ""


def test_off_a_terminal_a_step_and_a_notice_have_their_lines() -> None:
    decided = StepEnded("rules", 5, {"x": 2}, 0.1)
    assert pulsed([decided], interval=3600) == ""  # nothing has run
    text = pulsed([*ROWS, decided, Notice("hello")], interval=3600)
    assert text.splitlines() == [
        "tamis: step 2 of 4, rules: 5 in = 3 kept + 2 dropped, 0.1 s",
        "tamis: hello",
    ]


def test_notices_are_always_told() -> None:
    notice = Notice("tables/[x].parquet is damaged: it is made again")
    text = shown([notice], terminal=False, patience=0)
    assert text == "tamis: tables/[x].parquet is damaged: it is made again\n"


def test_a_notebook_has_a_table_that_fills(capsys: pytest.CaptureFixture[str]) -> None:
    assert not in_notebook()
    with LiveTable(STEPS, "<b>: begins") as table:
        assert "&lt;b&gt;: begins" in table.page()
        for event in ROWS:
            table(event)
        assert "step 3 of 4, embed vectors: 1,000 of 4,000 samples" in table.page()
        table(StepEnded("embed", 4000, {"bad_embedding": 3}, 61.0))
        cells = "<td>embed</td><td>4,000</td><td>3</td><td>3,997</td><td>1 min 1 s</td>"
        assert cells in table.page()
        table(PhaseEnded("embed", "vectors", 60.0))
        table(Notice("a file has changed"))
        assert "a file has changed" in table.page()
    assert "step 3 of 4" not in table.page()


def test_a_notebooks_table_is_drawn_while_no_task_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(LiveTable, "_draw", lambda self: drawn.append(self.page()))
    with LiveTable(STEPS, beat=0.01) as table:
        for event in ROWS:
            table(event)
        before = len(drawn)
        while len(drawn) < before + 3:
            time.sleep(0.01)
    assert "step 3 of 4" in drawn[-2]
