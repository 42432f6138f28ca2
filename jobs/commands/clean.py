"""``tamis clean``."""

from __future__ import annotations

from dataclasses import asdict

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.plugins.sources import nothing_imported
from tamis.pipeline.runs import cleaning
from tamis.pipeline.runs.plan import build
from tamis.pipeline.tasks.stored_job import read_job

SLOWER = (
    "a run with another setting of a step, or with more input, makes the tables of that step that it reads again; "
    "`whatif` refuses a question that reads one. The result, its audits and all other tables stay"
)


def clean_run(path: str, *, yes: bool, json: bool) -> None:
    """Show which tables of a finished run may go; with ``yes`` remove them.

    Raises:
        TamisError: no finished run, or one that is at work.
    """
    run = opened(path)
    with nothing_imported():
        steps = build(read_job(run.root))
    found = list(cleaning.passing(run.root, steps))
    if yes:
        cleaning.clear(run.root, found)
    size, files = sum(phase.bytes for phase in found), sum(len(phase.files) for phase in found)
    if json:
        phases = [{**asdict(phase), "files": len(phase.files)} for phase in found]
        shown = {"run": run.root, "removed": yes, "bytes": size, "files": files, "phases": phases}
        display.echo(display.as_json(shown))
        return
    columns = [("step", "left"), ("tables", "left"), ("files", "right"), ("bytes", "right")]
    rows = [
        [phase.step, phase.phase, display.count(len(phase.files)), display.size(phase.bytes)]
        for phase in found
    ]
    if not found:
        display.echo("nothing to remove: no table that only an exchange needed is left")
        return
    display.print_table(display.console(), display.table(columns, rows))
    done = "removed" if yes else "may go (--yes removes them)"
    display.echo(f"{counted(files, 'file')}, {display.size(size)}: {done}")
    display.echo(SLOWER)
