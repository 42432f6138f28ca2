"""``tamis report``."""

from __future__ import annotations

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal.pages import check_page, write_page
from tamis.pipeline.audit.report.report import report
from tamis.pipeline.store import storage


def write_report(path: str, output: str | None) -> None:
    """Write a finished run's report, to ``output`` or into the run's directory.

    Raises:
        StateError: no finished run, or its counts do not balance.
    """
    run = opened(path)
    target = output or storage.join(run.root, "report.html")
    check_page(target)
    write_page(target, report(run))
