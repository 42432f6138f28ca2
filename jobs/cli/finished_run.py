"""A finished run from the command line's request. Imports nothing that reads a job: ``explain`` is quick."""

from __future__ import annotations

from tamis.jobs.cli import start
from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.store import finished, storage


def opened(path: str) -> FinishedRun:
    """A finished run, to read; a note says where it is at work again.

    When the command has ended it is looked at again: what was read while it was done again is half old and half new.

    Raises:
        StateError: as ``open_run``.
    """
    watched = finished.Watched(storage.absolute(path))
    run = open_run(path)
    start.at_the_end(watched.check)
    note = finished.note(run.root)
    if note is not None:
        display.note(f"note: {note}")
    return run
