"""``tamis verify``."""

from __future__ import annotations

from dataclasses import asdict

import typer

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.audit.verify.verify import Seen, verify
from tamis.schemas.layout import SUBSET

MADE_AGAIN = ("shards/", "ledger/", "ledger_index/", SUBSET, "tables/")
"""Files of a run that another run makes where they are missing."""


def verify_run(path: str, *, deep: bool, json: bool) -> None:
    """Print each fault as it is found, one a line; exit with 1 if there is any.

    Raises:
        TamisError: no finished run.
    """
    run, seen, faults = opened(path), Seen(), []
    for fault in verify(run, seen, deep):
        faults.append(fault)
        if not json:
            display.echo(display.plain(f"{fault.path}: {fault.what}"))
    if json:
        objects = [asdict(fault) for fault in faults]
        display.echo(display.as_json({"run": run.root, "faults": objects, "seen": asdict(seen)}))
    else:
        for note in seen.notes:
            display.echo(display.plain(f"note: {note}"))
        display.echo(
            f"{counted(len(faults), 'fault')} in {counted(seen.rows, 'ledger row')}, "
            f"{counted(seen.outputs, 'file')} of the result, {counted(seen.inputs, 'input')} and "
            f"{_tables_and_embeddings(seen, deep)}; {display.size(seen.bytes)} hashed"
        )
        if any(fault.path.startswith(MADE_AGAIN) for fault in faults):
            display.echo(
                f"next: remove the files of the run that are named, and `tamis run {display.plain(run.root)}/job.yaml` "
                "makes them again"
            )
    if faults:
        raise typer.Exit(1)


def _tables_and_embeddings(seen: Seen, deep: bool) -> str:
    """A phrase about the files that only ``deep`` reads whole."""
    files = counted(seen.tables, "table")
    if seen.embeddings:
        files = f"{counted(seen.embeddings, 'embedding file')} and {files}"
    return f"{files}, read whole" if deep else f"{files} by size and footer (--deep reads them)"
