"""``tamis export``."""

from __future__ import annotations

from dataclasses import asdict

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display
from tamis.pipeline.audit.export.export import export
from tamis.pipeline.audit.export.rows import Among
from tamis.pipeline.audit.reading.words import counted


def export_run(
    path: str, layout: str, output: str, among: Among, embedding: str | None, json: bool
) -> None:
    """Write a run's embeddings and metadata in a layout that others read.

    Raises:
        TamisError: no finished run, no such layout, no embeddings, or a folder that is not empty.
    """
    done = export(opened(path), layout, output, among, embedding)
    if json:
        display.echo(display.as_json(asdict(done)))
        return
    for name in done.files:
        display.echo(display.plain(name))
    display.echo(
        f"{counted(done.samples, 'sample')} in {counted(len(done.files), 'file')} below {display.plain(done.folder)}"
    )
