"""Arguments and help of `tamis fit`; ``jobs/commands`` does the work."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tamis.jobs.cli.options import JSON

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def fit(  # noqa: PLR0913, PLR0917 - one argument an option
    what: Annotated[
        Literal["head"], typer.Argument(metavar="head", help="What is fitted: a head.")
    ],
    pool: Annotated[
        str,
        typer.Argument(metavar="RUN", help="The pool: a finished run with embedded pairs."),
    ],
    output: Annotated[
        str,
        typer.Option("--as", metavar="FILE", help="The head's file, which ends in .safetensors."),
    ],
    trusted: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="What is trusted: the pairs that this finished run kept."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="SQL",
            help="What is trusted instead: the pool's rows that meet a condition on the ledger's columns.",
        ),
    ] = None,
    kind: Annotated[
        Literal["classifier", "pair", "mix"],
        typer.Option(
            help="classifier: a logistic function of both vectors; pair: two maps, fitted on trusted pairs alone, and "
            "the cosine behind them; mix: a logistic function of --signals.",
        ),
    ] = "classifier",
    signals: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="With --kind mix: the ledger's signals that the head takes."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The ledger's column that tells sources apart; the input's files by default.",
        ),
    ] = None,
    most: Annotated[
        int, typer.Option(min=100, help="Pairs of each set that are read, at most.")
    ] = 10_000,
    seed: Annotated[
        int | None, typer.Option(help="Of what is held out; the pool's by default.")
    ] = None,
    json: JSON = False,
) -> None:
    """Fit a head that scores pairs as a trusted set is told from a pool: a data filtering network of one's own."""
    del what
    from tamis.jobs.commands.fit import Asked, fit_and_show

    fit_and_show(pool, output, Asked(trusted, where, kind, signals, by, most, seed), json)
