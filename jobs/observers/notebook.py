"""Progress in a notebook: one table below the cell, a row a step, written anew as the run goes on."""

from __future__ import annotations

import html
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, cast

from tamis.jobs.observers.pace import Pace
from tamis.jobs.terminal import display
from tamis.schemas.events import Event, Notice, PhaseEnded, PhaseStarted, StepEnded, TaskDone

INTERVAL = 0.5
"""Seconds between two drawings, at least; a step that has decided is drawn at once."""

BEAT = 2.0
"""Seconds after which it is drawn anyway: a task may take minutes."""

HEAD = ("step", "entered", "dropped", "kept", "time")


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this process: one that shows tables, unlike IPython on a terminal."""
    if "ipykernel" not in sys.modules:
        return False
    from ipykernel.zmqshell import ZMQInteractiveShell
    from IPython.core.getipython import get_ipython

    return isinstance(get_ipython(), ZMQInteractiveShell)


class LiveTable:
    """An observer that draws a table, and below it how far the step at work is. A context manager: a thread of its own
    draws while no task ends.

    ``steps`` are the names of the run's steps, in order; ``beginning`` stands above the table.
    """

    def __init__(self, steps: Sequence[str], beginning: str = "", beat: float = BEAT) -> None:
        from IPython.core.display import HTML
        from IPython.core.display_functions import DisplayHandle

        self._steps, self._beginning = steps, beginning
        self._html: Any = HTML
        self._handle = cast(Any, DisplayHandle)()
        self._decided: dict[str, StepEnded] = {}
        self._notices: list[str] = []
        self._pace: Pace | None = None
        self._begun = time.monotonic()
        self._drawn = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, args=[beat], daemon=True)

    def __enter__(self) -> LiveTable:
        self._handle.display(self._html(self.page()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._pace = None
        self._draw()

    def _keep_drawing(self, beat: float) -> None:
        while not self._stopped.wait(beat):
            with self._lock:
                if self._pace is not None:
                    self._draw()

    def __call__(self, event: Event) -> None:
        """Count the event, and draw the table where it is time."""
        with self._lock:
            self._count(event)

    def _count(self, event: Event) -> None:
        match event:
            case PhaseStarted():
                self._pace = Pace.of(event, self._steps, time.monotonic())
            case TaskDone() if self._pace is not None:
                self._pace.add(event)
            case PhaseEnded():
                self._pace = None
            case StepEnded():
                self._decided[event.step] = event
                self._drawn = 0.0
            case Notice():
                self._notices.append(event.text)
            case _:
                return
        if time.monotonic() - self._drawn >= INTERVAL:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        self._handle.update(self._html(self.page()))

    def page(self) -> str:
        """The table as HTML."""
        now = time.monotonic()
        rows = [self._row(step) for step in self._steps]
        state = self._pace.text(now) if self._pace is not None else ""
        below = [f"{display.duration(now - self._begun)} so far", *([state] if state else [])]
        head = "".join(f"<th>{name}</th>" for name in HEAD)
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        lines = [self._beginning, *self._notices]
        above = "".join(f"<p>{_safe(line)}</p>" for line in lines if line)
        return (
            f"{above}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{_safe(', '.join(below))}</p>"
        )

    def _row(self, step: str) -> tuple[str, ...]:
        ended = self._decided.get(step)
        if ended is None:
            return (_safe(step), "", "", "", "")
        dropped = sum(ended.dropped.values())
        counts = (ended.entered, dropped, ended.entered - dropped)
        return (_safe(step), *map(display.count, counts), display.duration(ended.seconds))


def _safe(text: str) -> str:
    return html.escape(display.plain(text))
