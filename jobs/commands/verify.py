"""``tamis verify``."""

from __future__ import annotations

from dataclasses import asdict

import typer

from jobs import show
from pipeline.audit.finished import open_run
from pipeline.audit.verify import Seen, verify


def verify_run(path: str, *, deep: bool, json: bool) -> None:
    """Say each fault on a line of its own, as it is found; exit with 1 where there is one.

    Raises:
        TamisError: there is no finished run to verify.
    """
    run, seen, faults = open_run(path), Seen(), []
    for fault in verify(run, seen, deep):
        faults.append(fault)
        if not json:
            typer.echo(show.plain(f"{fault.path}: {fault.what}"))
    if json:
        found = [asdict(fault) for fault in faults]
        typer.echo(show.as_json({"run": run.root, "faults": found, "seen": asdict(seen)}))
    else:
        for note in seen.notes:
            typer.echo(show.plain(f"note: {note}"))
        typer.echo(
            f"{show.count(len(faults))} fault{'' if len(faults) == 1 else 's'} in {show.count(seen.rows)} ledger rows, "
            f"{show.count(seen.outputs)} files of the result, {show.count(seen.inputs)} inputs and "
            f"{show.count(seen.tables)} tables; {show.size(seen.bytes)} hashed"
        )
    if faults:
        raise typer.Exit(1)
