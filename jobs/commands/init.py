"""``tamis init`` and ``tamis presets``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from tamis.jobs.job_files import load
from tamis.jobs.job_files.template import template
from tamis.jobs.terminal import display
from tamis.pipeline.store import storage
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.json_schema import DIALECT
from tamis.schemas.layout import JOB


def write_job(path: str | None, inputs: Sequence[str], preset: str | None) -> None:
    """Write a job file to ``path``: the one that fits ``inputs``, or the preset's, or the one with every key explained.

    ``-`` prints it; None prints it where standard output is a file or a pipe, and else writes JOB.

    Raises:
        JobError: a file is there already, or both inputs and a preset are given.
    """
    if inputs and preset:
        raise JobError(
            "--preset and --input: name one of the two; a preset takes --input when it runs"
        )
    if path is None:
        path = JOB if sys.stdout.isatty() else "-"
    if path != "-" and storage.exists(path) and storage.stat(path).size:
        raise JobError(f"{path}: is there already: name another file, or remove it")
    text = _text(inputs, preset)
    if path == "-":
        display.echo(text, nl=False)
        return
    storage.write_bytes(path, text.encode())
    todo = "look it over" if inputs else "put in your paths"
    display.echo(f"{path} is written: {todo}, then: tamis plan {path}")


def _text(inputs: Sequence[str], preset: str | None) -> str:
    if preset is not None:
        return load.read_text(load.preset_path(preset))
    if inputs:
        from tamis.jobs.job_files.draft import fitted

        return fitted(inputs)
    return template()


def show_presets(as_json: bool) -> None:
    """Print the presets, each with the first sentence of its file."""
    about = {}
    for name in load.presets():
        lines = load.read_text(load.preset_path(name)).split("\n#\n")[0].splitlines()
        comment = " ".join(line.removeprefix("# ") for line in lines if line.startswith("# "))
        about[name] = comment.partition(". ")[0].removesuffix(".")
    if as_json:
        display.echo(display.as_json(about))
        return
    columns = [("preset", "left"), ("what it does", "left")]
    display.print_table(display.console(), display.table(columns, list(map(list, about.items()))))
    display.echo("run one: tamis run PRESET --input 'data/*.tar' --output runs/NAME")
    display.echo("see one, or change it: tamis init --preset PRESET")


def show_schema() -> None:
    """Print the JSON schema of a job file."""
    schema = {"$schema": DIALECT, **Job.model_json_schema(), "title": "A tamis job"}
    display.echo(json.dumps(schema, indent=2))
