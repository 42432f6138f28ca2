"""A finished run from the command line's request. Imports nothing that reads a job: ``explain`` is quick."""

from __future__ import annotations

from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.store import finished


def opened(path: str) -> FinishedRun:
    """A finished run, to read; a note says where it is at work again.

    Raises:
        StateError: as ``open_run``.
    """
    run = open_run(path)
    note = finished.note(run.root)
    if note is not None:
        display.note(f"note: {note}")
    return run
