"""Arguments and help of the commands that ask what a set is worth to a training; ``jobs/commands`` does their work."""

from __future__ import annotations

from typing import Annotated

import typer

from tamis.jobs.cli.options import CPUS, JSON, RUN, SET, refuse_without

commands = typer.Typer(rich_markup_mode=None)

BUCKETS, SEEDS = 4, 5
"""Of a law that is fitted, by default."""


@commands.command()
def evaluate(  # noqa: PLR0913, PLR0917 - one argument an option
    run: RUN,
    holdout: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHARE|PATH",
            help="Measure on this share of the run's pairs, drawn for each seed (0.2 by default); or on another "
            "finished run; or on input files, which are embedded first. Runs and files can be given several times.",
        ),
    ] = None,
    holdout_by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN=VALUE,..",
            help="Measure on the pairs with these values in a column of the ledger, a source each; none is trained on.",
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="SELECTORS",
            help="Selectors to compare density with; also density-hard, density-random, density-easy, names of the "
            "run's own steps, and chains such as 'score:0.5>density': density among the better half by score.",
        ),
    ] = "random,deduplicated,score,prototypes,coverage,full,run",
    budgets: Annotated[
        str, typer.Option(metavar="SHARES", help="Sizes of the subsets, as shares of the pool.")
    ] = "0.1,0.2,0.3,0.4,0.5,0.6",
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Repetitions, each with other draws.")
    ] = 5,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The ledger's column of class names (an input column, named in `signals`), to measure zero-shot too.",
        ),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="N,..",
            help="Training steps of each subset, several for a curve; by default so many that all pairs are seen five "
            "times.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="A finished run, or input files, of pairs that you have: each subset is trained with them too, beside "
            "them alone. Nothing of them is tested.",
        ),
    ] = None,
    mismatch: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Exchange this share of the pool's captions first: who still chooses well?",
        ),
    ] = 0.0,
    student: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What is trained: linear heads over the embedding of an `embed` step, by default the compared one; "
            "`words`, a small network over those of pictures and a bag of words from nothing; `words:STEP`, over "
            "another step's; `pixels`, over pictures of 32 pixels.",
        ),
    ] = None,
    distil: Annotated[
        str | None,
        typer.Option(
            metavar="ALPHA,..",
            help="Train all once more with a teacher, who was trained on all pairs and has this share of the loss.",
        ),
    ] = None,
    cpus: CPUS = None,
    json: JSON = False,
) -> None:
    """Train small students on the subsets of selectors, at equal compute, and measure them on held-out pairs."""
    from tamis.jobs.commands.evaluate import evaluate_run, lengths, processors, shares
    from tamis.pipeline.evaluate.evaluation import Request
    from tamis.pipeline.evaluate.sources import HeldOut

    names = [name.strip() for name in against.split(",") if name.strip()]
    held = HeldOut.parse(holdout or (), holdout_by)
    request = Request(
        held,
        names,
        shares(budgets),
        seeds,
        classes,
        lengths(steps),
        mismatch,
        cpus or processors(),
        target,
        student,
        shares(distil, "--distil") if distil else (),
    )
    evaluate_run(run, request, json)


@commands.command()
def budget(  # noqa: PLR0913, PLR0917 - one argument an option
    run: RUN,
    seen: Annotated[
        float,
        typer.Option(
            metavar="N", help="Samples that the training looks at, repetitions counted: 1.28e9."
        ),
    ],
    settings: SET = None,
    law: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="How errors fall in each bucket of quality, as YAML or the budget.json of a run.",
        ),
    ] = None,
    fit: Annotated[
        bool,
        typer.Option(
            "--fit", help="Fit such a law: small heads are trained on buckets of the run's pairs."
        ),
    ] = False,
    signal: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The signal that divides the buckets; by default that of the last step which keeps by one, or the "
            "similarity.",
        ),
    ] = None,
    buckets: Annotated[
        int | None, typer.Option(help="Buckets, of equal size; 4 by default.")
    ] = None,
    floor: Annotated[
        float | None,
        typer.Option(help="The error that no training gets below: d of the law; 0 by default."),
    ] = None,
    holdout: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARE|PATH", help="As of evaluate: what heads are measured on."),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", help="Repetitions, each with other draws; 5 by default."),
    ] = None,
    cpus: CPUS = None,
    json: JSON = False,
) -> None:
    """Say what passes over the kept samples are worth at a compute budget, and how many to keep for it."""
    from tamis.jobs.commands.budget import Fitting, budget_run
    from tamis.jobs.commands.evaluate import processors
    from tamis.pipeline.evaluate.sources import HeldOut

    fitting = None
    if fit:
        held = HeldOut.parse(holdout or (), None)
        fitting = Fitting(
            signal,
            BUCKETS if buckets is None else buckets,
            floor or 0.0,
            held,
            SEEDS if seeds is None else seeds,
            cpus or processors(),
        )
    else:
        given = {
            "--signal": signal,
            "--buckets": buckets,
            "--floor": floor,
            "--holdout": holdout or None,
        }
        refuse_without("--fit", {**given, "--seeds": seeds, "--cpus": cpus}, "or leave it out")
    budget_run(run, seen, settings or (), law, fitting, json)
