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
        metavar="[JOB]",
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
BY = Annotated[
    Literal["source", "cluster"] | None,
    typer.Option("--by", help="Count by input file, or by concept."),
]
SAMPLE = Annotated[
    str | None,
    typer.Option(
        "--sample", metavar="REASON", help="Show samples dropped for this reason, or `kept`."
    ),
]
ROWS = Annotated[int | None, typer.Option("-n", min=1, help="Most samples, rows or pairs to show.")]
COSTS = Annotated[
    bool,
    typer.Option(
        "--costs", help="Show the costs of each step, beside those that `plan --cluster` predicted."
    ),
]
SQL = Annotated[
    str | None,
    typer.Option(metavar="QUERY", help="Query the tables of the run: --sql 'show all tables'."),
]
EDGES = Annotated[
    str | None,
    typer.Option(
        "--edges",
        metavar="STEP",
        help="Show what a step of duplicates dropped beside what it kept instead, the least alike first.",
    ),
]
SHEET = Annotated[
    str | None,
    typer.Option("--html", metavar="FILE", help="Write --edges as a page with the pictures."),
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
