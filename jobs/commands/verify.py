"""``tamis verify``."""

from __future__ import annotations

from dataclasses import asdict

import typer

from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.audit.verify.verify import Seen, verify


def verify_run(path: str, *, deep: bool, json: bool) -> None:
    """Say each fault on a line of its own, as it is found; exit with 1 where there is one.

    Raises:
        TamisError: there is no finished run to verify.
    """
    run, seen, faults = open_run(path), Seen(), []
    for fault in verify(run, seen, deep):
        faults.append(fault)
        if not json:
            typer.echo(display.plain(f"{fault.path}: {fault.what}"))
    if json:
        found = [asdict(fault) for fault in faults]
        typer.echo(display.as_json({"run": run.root, "faults": found, "seen": asdict(seen)}))
    else:
        for note in seen.notes:
            typer.echo(display.plain(f"note: {note}"))
        typer.echo(
            f"{counted(len(faults), 'fault')} in {counted(seen.rows, 'ledger row')}, "
            f"{counted(seen.outputs, 'file')} of the result, {counted(seen.inputs, 'input')} and "
            f"{_lightly(seen, deep)}; {display.size(seen.bytes)} hashed"
        )
    if faults:
        raise typer.Exit(1)


def _lightly(seen: Seen, deep: bool) -> str:
    """What is read whole only where it is asked for."""
    looked = counted(seen.tables, "table")
    if seen.embeddings:
        looked = f"{counted(seen.embeddings, 'embedding file')} and {looked}"
    return f"{looked}, read whole" if deep else f"{looked} by size and footer (--deep reads them)"
