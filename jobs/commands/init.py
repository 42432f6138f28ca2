"""``tamis init``."""

from __future__ import annotations

from pathlib import Path

import typer

from tamis.pipeline.store import storage
from tamis.schemas.errors import JobError

TEMPLATE = Path(__file__).parent.parent / "template.yaml"


def write_template(path: str) -> None:
    """Write the commented job file to ``path``, or show it where that is ``-``.

    Raises:
        JobError: something is there already.
    """
    text = storage.read_bytes(str(TEMPLATE))
    if path == "-":
        typer.echo(text.decode(), nl=False)
        return
    if storage.exists(path):
        raise JobError(f"{path}: is there already: name another file, or remove it")
    storage.write_bytes(path, text)
    typer.echo(f"{path} is written: put in your paths, then: tamis plan {path}")
