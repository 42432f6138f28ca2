"""``tamis evaluate``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading.evaluation import FILE
from tamis.pipeline.audit.reading.verdict import (
    by_group,
    by_luck,
    by_source,
    chance,
    compared,
    curve,
    distillation,
    significant,
    told,
    training_told,
    verdict,
)
from tamis.pipeline.evaluate.evaluation import Progress as Told
from tamis.pipeline.evaluate.evaluation import Request, evaluate
from tamis.pipeline.evaluate.students import HEADS_SECONDS, step_seconds
from tamis.pipeline.store import storage
from tamis.schemas.errors import JobError
from tamis.schemas.evaluation import HEADLINE, METRICS, Evaluation, Figure, Point

MOST_STEPS = 10**9
"""Training steps that can be asked for."""


def evaluate_run(path: str, request: Request, json: bool) -> None:
    """Compare selectors, write ``evaluation.json`` into the run, and show the table.

    Raises:
        TamisError: the run or an option does not fit.
    """
    run = opened(path)
    with training_progress(step_seconds(request.student)) as done:
        evaluation = evaluate(run, request, done)
    storage.write_bytes(storage.join(run.root, FILE), evaluation.to_json())
    if json:
        display.echo(display.as_json(evaluation.model_dump()))
        return
    out = display.console()
    for line in _splits(evaluation):
        out.print(line)
    display.print_table(out, _table(evaluation))
    if len(evaluation.sources) > 1:
        display.print_table(out, _more(by_source(evaluation), evaluation.sources))
    if evaluation.groups:
        display.print_table(out, _more(by_group(evaluation), evaluation.groups))
    if len(evaluation.lengths) > 1:
        lengths = [f"{steps:,} steps" for steps in evaluation.lengths]
        display.print_table(out, _more(curve(evaluation), lengths))
    out.print(by_luck(evaluation))
    for name in compared(evaluation):
        out.print(verdict(evaluation, name))
    for line in distillation(evaluation):
        out.print(line)
    out.print(training_told(evaluation))
    out.print(chance(evaluation))
    for note in evaluation.notes:
        out.print(f"note: {display.plain(note)}")
    out.print(f"{storage.join(run.root, FILE)}; `tamis report` draws it")


def lengths(text: str | None) -> list[int]:
    """``200,800`` as numbers of steps; None as none.

    Raises:
        JobError: no whole numbers above 0, up to MOST_STEPS, with commas between them.
    """
    if text is None:
        return []
    try:
        values = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = []
    if not values or min(values) < 1 or max(values) > MOST_STEPS:
        raise JobError(
            f"--steps '{text}': numbers of training steps, 1 to {MOST_STEPS:,}, with commas: 200,800,3200"
        )
    return values


def shares(text: str, option: str = "--budgets") -> list[float]:
    """``0.1,0.2`` as numbers; ``option`` is named in messages.

    Raises:
        JobError: no numbers with commas between them.
    """
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = []
    if not values:
        raise JobError(f"{option} '{text}': shares with commas between them: 0.1,0.2,0.4")
    return values


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def training_progress(step_seconds: float = HEADS_SECONDS) -> Iterator[Told]:
    """A callback that says on standard error how much there is to do, and moves a bar where that is a terminal.

    ``step_seconds``: of the processor, of one step.
    """
    err = display.console(stderr=True)
    columns = (
        TextColumn("training students"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("")

        def told_of(done: int, of: int) -> None:
            if not done:
                seconds = of * step_seconds
                err.print(
                    f"training: {of:,} steps in all, about {display.duration(seconds)} of processor time"
                )
            bar.update(task, completed=done, total=of)

        yield told_of


def _splits(evaluation: Evaluation) -> Iterator[str]:
    """Sentences about the holdout's and pool's sizes, as ranges where the seeds differ, and about the training."""

    def over(field: str) -> str:
        counts = [getattr(split, field) for split in evaluation.splits]
        least, most = min(counts), max(counts)
        return (
            display.count(least)
            if least == most
            else f"{display.count(least)} to {display.count(most)}"
        )

    undrawn = ""
    if any(split.undrawn for split in evaluation.splits):
        undrawn = f"{over('undrawn')} that the seed did not draw + "
    yield (
        f"{over('pairs')} embedded pairs = {over('tested')} to measure on + {over('relatives')} that share a picture, "
        f"near-duplicate or caption with those + {over('alike')} whose picture's embedding is all but theirs + "
        f"{undrawn}{over('pool')} to train on, {over('candidates')} of them left by the run's filters and duplicate "
        "steps"
    )
    if len(evaluation.sources) > 1:
        counts = ", ".join(f"{name} {n:,}" for name, n in evaluation.splits[0].sources.items())
        yield f"measured on {counts}: figures are means over them"
    training = evaluation.training
    yield (
        f"each subset: {training.steps:,} steps of {training.batch:,} pairs, {evaluation.student}, "
        f"{len(evaluation.splits)} seeds, each with a {'pool' if undrawn else 'holdout'} of its own"
    )


def _table(evaluation: Evaluation) -> Table:
    metrics = [name for name in METRICS if name in evaluation.points[0].figures]
    columns = [("selector", "left"), ("budget", "right"), ("pairs", "right")]
    columns += [(METRICS[name], "right") for name in metrics]
    columns += [("R@10 - random", "right"), ("p", "right"), ("", "left")]
    rows = [
        _row(point, metrics)
        for selector in evaluation.selectors
        for point in evaluation.line(selector)
    ]
    luck = [f"{evaluation.chance:.3f}" if name == HEADLINE else "" for name in metrics]
    return display.table(columns, [*rows, ["chance", "", "", *luck, "", "", ""]])


def _row(point: Point, metrics: list[str]) -> list[str]:
    against = point.headline.against_random
    mean = round(sum(point.pairs) / len(point.pairs))
    row = [point.selector, f"{100 * point.budget:.3g}%", display.count(mean)]
    row += [_figure(name, point.figures[name]) for name in metrics]
    if against is None:
        return [*row, "", "", ""]
    better = against.difference > 0
    word = ("better" if better else "worse") if significant(point) else ""
    p = "" if against.p is None else f"{against.p:.3f}"
    return [*row, f"{against.difference:+.3f}", p, word]


def _figure(metric: str, figure: Figure) -> str:
    if metric == "median_rank":
        return f"{figure.mean:.1f} ± {figure.spread:.1f}"
    return told(figure)


def _more(rows: list[list[str]], names: Sequence[str]) -> Table:
    """A table of the headline metric with a column for each name."""
    columns = [
        ("selector", "left"),
        ("budget", "right"),
        *((f"{METRICS[HEADLINE]}, {name}", "right") for name in names),
    ]
    return display.table(columns, rows)
