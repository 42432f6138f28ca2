"""``tamis report``."""

from __future__ import annotations

import typer

from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.store import storage


def write_report(path: str, output: str | None) -> None:
    """Write a finished run's report, into the run's directory unless told otherwise.

    Raises:
        StateError: there is no finished run, or its account does not balance.
    """
    run = open_run(path)
    page = report(run)
    target = storage.absolute(output) if output else storage.join(run.root, "report.html")
    storage.write_bytes(target, page)
    typer.echo(f"{target} ({display.size(len(page))})")
