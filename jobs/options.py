"""The arguments and options that several commands take, each said once."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

JOB = Annotated[
    str, typer.Argument(metavar="JOB", help="A job file, or the bare name of a preset.")
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
    typer.Option("--input", metavar="PATH", help="What to read, instead of the job's own paths."),
]
OUTPUT = Annotated[
    str | None, typer.Option("--output", metavar="DIR", help="The run directory, instead of its.")
]
CPUS = Annotated[int | None, typer.Option("--cpus", min=1, help="Processors of this machine.")]
ACCEPT = Annotated[
    bool,
    typer.Option(
        "--accept-changed",
        help="Recompute what depends on inputs that have changed, but for those with another number of samples.",
    ),
]
PROGRESS = Annotated[
    Literal["auto", "lines", "json", "none"],
    typer.Option(
        "--progress",
        help="Bars on a terminal; a line a phase, or events as JSON lines, on standard error; or nothing.",
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
