"""Arguments and help of commands that compare inputs; ``jobs/commands`` does their work."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tamis.jobs.cli.options import JSON

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def contains(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|FILES...",
            help="Directories of finished runs, or input files, which are read first: paths or patterns, as of a job.",
        ),
    ],
    by: Annotated[
        Literal["source", "entry", "run"] | None,
        typer.Option(
            "--by",
            help="What is compared: input files, entries of the input, or what each argument names; by default the "
            "files of a single argument, or several arguments.",
        ),
    ] = None,
    on: Annotated[
        Literal["sha256", "pixels", "url", "caption", "uid"],
        typer.Option("--on", help="By what samples are the same."),
    ] = "sha256",
    sample: Annotated[
        float,
        typer.Option(
            "--sample",
            metavar="SHARE",
            min=1e-9,
            max=1.0,
            help="Look at this share of all keys, and say how sure that is.",
        ),
    ] = 1.0,
    n: Annotated[int, typer.Option("-n", min=1, help="Pairs that are shown.")] = 20,
    json: JSON = False,
) -> None:
    """Say which inputs stand inside which others, as a whole or in part."""
    from tamis.jobs.commands.contains import show_containment

    show_containment(runs, by=by, on=on, sample=sample, count=n, json=json)
