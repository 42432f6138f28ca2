"""A long phase has a bar with its rate and the time left, on a terminal; elsewhere there is silence."""

import io
import time

from rich.console import Console

from tamis.jobs.observers.progress import Bars
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


def shown(events: list[Event], terminal: bool, patience: float, until: str = "") -> str:
    """What is on the screen once ``until`` is, or after ten seconds, before the phase ends."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120, color_system=None)
    with Bars(console, patience) as bars:
        for event in events:
            bars(event)
        for _ in range(1000):
            if until in file.getvalue():
                break
            time.sleep(0.01)
        return file.getvalue()


def test_a_phase_over_samples_counts_samples() -> None:
    text = shown([*ROWS], terminal=True, patience=0, until="1,000/4,000")
    assert "embed vectors" in text
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


def test_no_terminal_no_bar() -> None:
    assert shown([*ROWS], terminal=False, patience=0) == ""


def test_notices_are_always_told() -> None:
    notice = Notice("tables/[x].parquet is damaged: it is made again")
    text = shown([notice, StepEnded("rules", 5, {}, 0.1)], terminal=False, patience=0)
    assert text == "tamis: tables/[x].parquet is damaged: it is made again\n"
