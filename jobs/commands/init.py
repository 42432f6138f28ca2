"""``tamis init``."""

from __future__ import annotations

import json

from tamis.jobs.template import template
from tamis.jobs.terminal import display
from tamis.pipeline.store import storage
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.json_schema import DIALECT


def write_template(path: str) -> None:
    """Write the commented job file to ``path``, or print it if that is ``-``.

    Raises:
        JobError: a file is there already.
    """
    text = template()
    if path == "-":
        display.echo(text, nl=False)
        return
    if storage.exists(path):
        raise JobError(f"{path}: is there already: name another file, or remove it")
    storage.write_bytes(path, text.encode())
    display.echo(f"{path} is written: put in your paths, then: tamis plan {path}")


def show_schema() -> None:
    """Print the JSON schema of a job file."""
    schema = {"$schema": DIALECT, **Job.model_json_schema(), "title": "A tamis job"}
    display.echo(json.dumps(schema, indent=2))
