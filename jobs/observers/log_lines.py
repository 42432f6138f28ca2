"""A run's lines in a log: one when a phase starts or ends, one when a step has decided."""

from __future__ import annotations

from typing import TextIO

from tamis.jobs.terminal import display
from tamis.schemas.events import Event, Notice, PhaseEnded, PhaseStarted, StepEnded


class LogLines:
    """An observer that writes lines, as for a job's log on a Ray cluster."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        match event:
            case PhaseStarted():
                done = f", {display.count(event.found)} found done" if event.found else ""
                self._write(f"{event.step} {event.phase}: {display.count(event.tasks)} to do{done}")
            case PhaseEnded():
                self._write(f"{event.step} {event.phase}: done in {event.seconds:.1f} s")
            case StepEnded():
                dropped = sum(event.dropped.values())
                kept = event.entered - dropped
                self._write(
                    f"{event.step}: {display.count(event.entered)} in = {display.count(kept)} kept + "
                    f"{display.count(dropped)} dropped"
                )
            case Notice():
                self._write(event.text)
            case _:
                pass

    def _write(self, text: str) -> None:
        self._stream.write(f"tamis: {display.plain(text)}\n")
        self._stream.flush()
