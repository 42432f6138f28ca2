"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tamis.jobs.terminal import display

JOB = Annotated[
    str, typer.Argument(metavar="JOB", help="A job file, or the bare name of a preset.")
]
JOB_OR_NONE = Annotated[
    str | None,
    typer.Argument(
        metavar="JOB",
        help="A job file, or the bare name of a preset; without one, the job that fits --input.",
    ),
]
RUN = Annotated[str, typer.Argument(metavar="RUN", help="The directory of a finished run.")]
SET = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Change one value of the job: density.keep=0.3"
    ),
]
INPUT = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="PATH", help="Paths to read instead of the job's own."),
]
OUTPUT = Annotated[
    str | None,
    typer.Option("--output", metavar="DIR", help="The run directory instead of the job's own."),
]
CPUS = Annotated[int | None, typer.Option("--cpus", min=1, help="Processors of this machine.")]
ACCEPT = Annotated[
    bool,
    typer.Option(
        "--accept-changed",
        help="Recompute what depends on changed inputs; one with another number of samples is still refused.",
    ),
]
PROGRESS = Annotated[
    Literal["auto", "lines", "json", "none"],
    typer.Option(
        "--progress",
        help="On standard error. auto: bars on a terminal, elsewhere a line every so often; lines: one a phase; "
        "json: events as JSON lines; none: nothing.",
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        display.echo(f"tamis {version('tamis')}")
        raise typer.Exit


VERSION = Annotated[
    bool,
    typer.Option(
        "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
]
