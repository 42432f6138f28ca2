"""Progress on a terminal: one bar a phase, shown once the phase has lasted a second."""

from __future__ import annotations

import threading
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from tamis.jobs.terminal import display
from tamis.schemas.events import Event, Notice, PhaseEnded, PhaseStarted, TaskDone

PATIENCE = 1.0
"""Seconds of a phase before its bar is shown."""


class _Rate(ProgressColumn):
    """Samples a second since the phase began."""

    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        rate = task.fields["samples"] / elapsed if elapsed else 0.0
        return Text(f"{rate:,.0f} samples/s" if rate else "")


class Bars:
    """An observer that draws bars on a terminal, and elsewhere prints notices alone. A context manager."""

    def __init__(self, console: Console, patience: float = PATIENCE) -> None:
        self._console, self._patience = console, patience
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def __call__(self, event: Event) -> None:
        """Move the bar, or print the notice."""
        match event:
            case PhaseStarted() if self._console.is_terminal:
                self._start(event)
            case TaskDone():
                self._advance(event)
            case PhaseEnded():
                self._end()
            case Notice():
                self._console.print(Text(display.plain(f"tamis: {event.text}")), soft_wrap=True)
            case _:
                pass

    def _start(self, event: PhaseStarted) -> None:
        self._end()
        # A phase that reads no table, such as the walk over the input, is counted in files.
        by_rows = event.rows > 0
        self._by_rows = by_rows
        self._progress = Progress(
            TextColumn(f"{event.step} {event.phase}"),
            BarColumn(bar_width=30),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
            _Rate(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task(
            "",
            total=event.rows if by_rows else event.tasks,
            samples=0,
            unit="" if by_rows else "files",
        )
        self._timer = threading.Timer(self._patience, self._reveal, [self._progress])
        self._timer.daemon = True
        self._timer.start()

    def _reveal(self, progress: Progress) -> None:
        with self._lock:
            if self._progress is progress:
                progress.start()

    def _advance(self, event: TaskDone) -> None:
        if self._progress is None:
            return
        samples = event.rows if self._by_rows else event.written
        done = self._progress.tasks[0].fields["samples"] + samples
        self._progress.update(self._task, advance=event.rows if self._by_rows else 1, samples=done)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            progress, self._progress = self._progress, None
            if progress is not None:
                progress.stop()


def bars() -> Bars:
    """Bars on standard error, so that standard output can be piped."""
    return Bars(display.console(stderr=True))
