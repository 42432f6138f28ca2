"""``tamis tag``."""

from __future__ import annotations

from contextlib import closing

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.audit.search.wanted import Among, Wanted
from tamis.pipeline.inputs.parquet.format import PARQUET
from tamis.pipeline.inputs.table.format import JSONL
from tamis.pipeline.runs.state import check_above
from tamis.pipeline.store import storage
from tamis.schemas import yaml12
from tamis.schemas.errors import JobError

TABLES = (*PARQUET.endings, *JSONL.endings)
"""Endings by which a job takes a list for a table, whatever is in it."""


def tag_samples(path: str, output: str, among: Among, where: str | None, *, json: bool) -> None:
    """Write the uids of some of a run's samples as a list, one a line, which a job's step `exclude` reads.

    Raises:
        JobError: no path, or that of a table; a file is there, or no sample is meant.
        InputError: DuckDB refuses the condition.
        StateError: no finished run; or the list would lie in a run's directory.
    """
    if not output:
        raise JobError("LIST is empty: name a new file")
    run = opened(path)
    target = storage.absolute(output)
    shown = storage.redact(output)
    if storage.exists(target):
        raise JobError(f"{shown}: is there already: name a new file, or remove that one")
    check_above(target)
    if output.lower().endswith(TABLES):
        raise JobError(
            f"{shown}: a job reads a table there, and this is a text of a uid a line: call it .txt"
        )
    with closing(Wanted(run, among, where)) as wanted:
        count = sum(map(len, wanted.uids()))
        if not count:
            raise JobError("no sample of this run is meant: the list would be empty")
        with storage.write_atomic(target) as file:
            for uids in wanted.uids():
                file.write("".join(f"{uid}\n" for uid in uids).encode())
    if json:
        display.echo(display.as_json({"run": run.root, "list": output, "samples": count}))
        return
    display.echo(
        f"{counted(count, 'uid')} in {display.plain(shown)}. A job leaves these samples out with"
    )
    display.echo(f"  - exclude: {yaml12.flow({'list': shown, 'on': 'uid'})}")
    display.echo("and all others with `all_but: true` beside it.")
