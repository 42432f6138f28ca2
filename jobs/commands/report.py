"""``tamis report``."""

from __future__ import annotations

from tamis.jobs.opening import opened
from tamis.jobs.terminal import display
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.store import storage


def write_report(path: str, output: str | None) -> None:
    """Write a finished run's report, to ``output`` or into the run's directory.

    Raises:
        StateError: no finished run, or its counts do not balance.
    """
    run = opened(path)
    page = report(run)
    target = storage.absolute(output) if output else storage.join(run.root, "report.html")
    storage.write_bytes(target, page)
    display.echo(f"{target} ({display.size(len(page))})")
