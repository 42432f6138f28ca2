"""What a run says of itself in a log: one line when a phase ends, and one when a step has decided."""

from __future__ import annotations

from typing import TextIO

from tamis.jobs.terminal import show
from tamis.schemas.events import Event, Notice, PhaseEnded, PhaseStarted, StepEnded


class Lines:
    """An observer for where nobody's terminal is: a job's log on a cluster."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Take notice of an event."""
        match event:
            case PhaseStarted():
                found = f", {show.count(event.found)} found done" if event.found else ""
                self._say(f"{event.step} {event.phase}: {show.count(event.tasks)} to do{found}")
            case PhaseEnded():
                self._say(f"{event.step} {event.phase}: done in {event.seconds:.1f} s")
            case StepEnded():
                dropped = sum(event.dropped.values())
                kept = event.entered - dropped
                self._say(
                    f"{event.step}: {show.count(event.entered)} in = {show.count(kept)} kept + "
                    f"{show.count(dropped)} dropped"
                )
            case Notice():
                self._say(event.text)
            case _:
                pass

    def _say(self, text: str) -> None:
        self._stream.write(f"tamis: {show.plain(text)}\n")
        self._stream.flush()
