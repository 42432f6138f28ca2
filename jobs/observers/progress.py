"""Progress on a terminal: a bar for the phase at work, shown once it has lasted a second, and a line a step."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from tamis.jobs.observers.notebook import LiveTable, in_notebook
from tamis.jobs.observers.pace import Pace
from tamis.jobs.observers.pulse import Pulse, step_line
from tamis.jobs.terminal import display
from tamis.schemas.events import Event, Notice, PhaseEnded, PhaseStarted, StepEnded, TaskDone

PATIENCE = 1.0
"""Seconds of a phase before its bar is shown."""


class _Living(Progress):
    """A bar that moves while no task ends, as far as tasks at work tell of their samples."""

    def __init__(self, pace: Pace, *columns: str | ProgressColumn, **options: Any) -> None:
        self._pace = pace
        super().__init__(*columns, **options)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar as it is now."""
        for task in self.tasks:
            task.completed = self._pace.seen
            task.fields["samples"] = self._pace.counted
        return super().get_renderables()


class _Rate(ProgressColumn):
    """Samples a second since the phase began."""

    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        rate = task.fields["samples"] / elapsed if elapsed else 0.0
        return Text(f"{rate:,.0f} samples/s" if rate else "")


class _Elapsed(ProgressColumn):
    """Time since the run began."""

    def render(self, task: Task) -> Text:
        elapsed = time.monotonic() - task.fields["begun"]
        return Text(f"{display.duration(elapsed)} so far")


class Bars:
    """An observer that draws bars on a terminal, and a line for each step that has decided. A context manager.

    ``steps`` are the names of the run's steps, in order; ``beginning`` is written once a phase begins.
    """

    def __init__(
        self,
        console: Console,
        steps: Sequence[str] = (),
        beginning: str = "",
        patience: float = PATIENCE,
    ) -> None:
        self._console, self._steps, self._patience = console, steps, patience
        self._beginning = beginning
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._timer: threading.Timer | None = None
        self._pace: Pace | None = None
        self._shown = False  # anything at all: a run with nothing to do says nothing

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __call__(self, event: Event) -> None:
        """Move the bar, or print the notice."""
        match event:
            case PhaseStarted():
                self._start(event)
            case TaskDone():
                self._advance(event)
            case PhaseEnded():
                self._end()
            case StepEnded() if self._shown:
                self._print(step_line(event, self._steps))
            case Notice():
                self._print(f"tamis: {event.text}")
            case _:
                pass

    def _print(self, text: str) -> None:
        self._console.print(Text(display.plain(text)), soft_wrap=True)

    def _start(self, event: PhaseStarted) -> None:
        self._end()
        if self._beginning and not self._shown:
            self._print(f"tamis: {self._beginning}")
        self._shown = True
        self._pace = Pace.of(event, self._steps, time.monotonic())
        place = f"{self._pace.place}, " if self._pace.place else ""
        self._progress = _Living(
            self._pace,
            TextColumn(display.plain(f"{place}{self._pace.name}"), markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
            _Rate(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            _Elapsed(),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task(
            "",
            total=self._pace.total,
            samples=0,
            unit="" if self._pace.by_rows else "files",
            begun=self._begun,
        )
        self._timer = threading.Timer(self._patience, self._reveal, [self._progress])
        self._timer.daemon = True
        self._timer.start()

    def _reveal(self, progress: Progress) -> None:
        with self._lock:
            if self._progress is progress:
                progress.start()

    def _advance(self, event: TaskDone) -> None:
        if self._progress is not None and self._pace is not None:
            self._pace.add(event)
            self._progress.update(self._task, completed=self._pace.done, samples=self._pace.samples)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            progress, self._progress = self._progress, None
            if progress is not None:
                progress.stop()


def bars(steps: Sequence[str], beginning: str = "") -> Bars | Pulse | LiveTable:
    """Progress in a notebook as a table; else on standard error, so that standard output can be piped: bars on a
    terminal, elsewhere lines.
    """
    if in_notebook():
        return LiveTable(steps, beginning)
    console = display.console(stderr=True)
    terminal = console.is_terminal
    return Bars(console, steps, beginning) if terminal else Pulse(sys.stderr, steps, beginning)
