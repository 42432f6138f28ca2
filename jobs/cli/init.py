"""Arguments and help of the commands that write and list job files; ``jobs/commands/init.py`` does their work."""

from __future__ import annotations

from typing import Annotated

import typer

from tamis.jobs.cli.options import INPUT, JSON

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def init(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="The file to write; `-` prints it. job.yaml by default; into a pipe or a file, it is printed.",
            show_default=False,
        ),
    ] = None,
    inputs: INPUT = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Write this preset instead: see `tamis presets`."),
    ] = None,
    schema: Annotated[
        bool,
        typer.Option("--schema", help="Print the JSON schema of a job instead, for an editor."),
    ] = False,
) -> None:
    """Write a job file: with --input the job that fits these files, else one in which every key is explained."""
    from tamis.jobs.commands.init import show_schema, write_job

    if schema:
        show_schema()
    else:
        write_job(path, inputs or (), preset)


@commands.command()
def presets(json: JSON = False) -> None:
    """List the presets: whole jobs that a command can name instead of a file."""
    from tamis.jobs.commands.init import show_presets

    show_presets(json)
