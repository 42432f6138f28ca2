"""Arguments and options that several commands take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import typer

from tamis.schemas.errors import JobError

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
ADDRESS = Annotated[
    str | None, typer.Option("--address", help="A Ray cluster; this machine by default.")
]
CENTROIDS = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Take this finished run's concepts instead of training: the same as "
        "--set STEP.centroids=RUN#STEP for every step that clusters.",
    ),
]
LOCAL = Annotated[
    bool | None,
    typer.Option(
        "--local/--ray",
        show_default=False,
        help="In worker processes of this machine without Ray, or with it; by default without where no cluster is "
        "named, no GPU is needed, and the samples are few (`tamis plan` says below how many). The result is the same.",
    ),
]
ROWS = Annotated[
    float | None,
    typer.Option(help="With --cluster: predict for this many samples, such as 5.8e9."),
]
SHARE = Annotated[
    float | None,
    typer.Option(
        "--sample",
        metavar="SHARE",
        help="With --cluster: run this share of the parts; 0.1 by default, at most 64 parts.",
    ),
]
RATES = Annotated[
    str,
    typer.Option(
        help="With --cluster: prices: cpu=0.04,gpu=2 an hour, storage=0.023 a GB and month."
    ),
]
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
MOST = Annotated[int | None, typer.Option("-n", min=1, help="Most samples, rows or pairs to show.")]
COSTS = Annotated[
    bool,
    typer.Option(
        "--costs", help="Show the costs of each step, beside those that `plan --cluster` predicted."
    ),
]
SQL = Annotated[
    str | None,
    typer.Option(
        metavar="QUERY", help="Query the tables of the run: --sql 'show tables' lists them."
    ),
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

        from tamis.jobs.terminal import (
            display,
        )  # rich: a third of what the help of a command imports

        display.echo(f"tamis {version('tamis')}")
        raise typer.Exit


VERSION = Annotated[
    bool,
    typer.Option(
        "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
]


def refuse_without(option: str, given: Mapping[str, object], example: str) -> None:
    """Refuse options that mean nothing without another; ``given`` has their values, None or False where not given.

    Raises:
        JobError: one is given.
    """
    for name, value in given.items():
        if value is not None and value is not False:
            raise JobError(f"{name}: belongs to {option}: add it, {example}")
