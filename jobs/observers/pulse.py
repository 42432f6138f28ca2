"""Progress where there is no terminal, in a log or a pipe: a line every so often, and one a step."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TextIO

from tamis.jobs.observers.pace import Pace
from tamis.jobs.terminal import display
from tamis.schemas.events import Event, Notice, PhaseEnded, PhaseStarted, StepEnded, TaskDone

INTERVAL = 15.0
"""Seconds without a line after which one says how far the run is."""


class Pulse:
    """An observer that writes lines. A context manager: a thread of its own writes while no task ends.

    ``steps`` are the names of the run's steps, in order; ``beginning`` is written once something is done, or seems to.
    """

    def __init__(
        self,
        stream: TextIO,
        steps: Sequence[str],
        beginning: str = "",
        interval: float = INTERVAL,
    ) -> None:
        self._stream, self._steps, self._interval = stream, steps, interval
        self._beginning = beginning
        self._at_work = False  # a run with nothing to do says nothing
        self._lock = threading.Lock()
        self._pace: Pace | None = None
        self._begun = self._written = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def __call__(self, event: Event) -> None:
        """Count the event; write its line, if it has one."""
        with self._lock:
            match event:
                case PhaseStarted():
                    self._begin()
                    self._at_work = True
                    self._pace = Pace.of(event, self._steps, time.monotonic())
                case TaskDone() if self._pace is not None:
                    self._pace.add(event)
                case PhaseEnded():
                    self._pace = None
                case StepEnded() if self._at_work:
                    self._write(step_line(event, self._steps))
                case Notice():
                    self._write(event.text)
                case _:
                    pass

    def _beat(self) -> None:
        while not self._stopped.wait(self._interval / 10):
            with self._lock:
                self._begin()
                if time.monotonic() - self._written >= self._interval:
                    self._write(self._state())

    def _begin(self) -> None:
        if self._beginning:
            text, self._beginning = self._beginning, ""
            self._write(text)

    def _state(self) -> str:
        now = time.monotonic()
        elapsed = display.duration(now - self._begun)
        if self._pace is None:
            return f"at work, {elapsed} so far"
        return f"{self._pace.text(now)}, {elapsed} so far"

    def _write(self, text: str) -> None:
        self._written = time.monotonic()
        self._stream.write(f"tamis: {display.plain(text)}\n")
        self._stream.flush()


def step_line(event: StepEnded, steps: Sequence[str]) -> str:
    """A line about a step's decision."""
    dropped = sum(event.dropped.values())
    place = f"step {steps.index(event.step) + 1} of {len(steps)}, " if event.step in steps else ""
    return (
        f"{place}{event.step}: {display.count(event.entered)} in = {display.count(event.entered - dropped)} kept + "
        f"{display.count(dropped)} dropped, {display.duration(event.seconds)}"
    )
