"""``tamis budget``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.commands.evaluate import training_progress
from tamis.jobs.terminal import display
from tamis.pipeline.audit.again.budget import budget, check_seen, read_law
from tamis.pipeline.audit.reading.budget import FILE
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import number
from tamis.pipeline.evaluate.quality_buckets import Fitted, Measuring, decider, fit
from tamis.pipeline.evaluate.sources import HeldOut
from tamis.pipeline.store import storage
from tamis.schemas.budget import Budget, Pool
from tamis.schemas.errors import JobError


@dataclass(frozen=True)
class Fitting:
    """The options of ``--fit``; without a signal one is found."""

    signal: str | None
    buckets: int
    floor: float
    held_out: HeldOut
    seeds: int
    threads: int


def budget_run(
    path: str,
    seen: float,
    settings: Sequence[str],
    law: str | None,
    fitting: Fitting | None,
    json: bool,
) -> None:
    """Say what a budget is over what a run keeps, and which pool of a law is best; write ``budget.json`` into the run.

    Raises:
        TamisError: the run, the law or an option does not fit.
    """
    if law is not None and fitting is not None:
        raise JobError("--fit makes a law, and --law names one: give one of the two")
    check_seen(seen)
    run = opened(path)
    if fitting is None:
        made = budget(run, seen, settings, read_law(law) if law is not None else None)
    else:
        found = _fitted(run, fitting)
        made = budget(run, seen, settings, found.law, found.draws, found.notes)
    _told(made, storage.join(run.root, FILE), json)


def _fitted(run: FinishedRun, fitting: Fitting) -> Fitted:
    signal, best = decider(run, fitting.signal)
    measuring = Measuring(
        signal,
        best,
        fitting.buckets,
        fitting.floor,
        fitting.held_out,
        fitting.seeds,
        fitting.threads,
    )
    with training_progress() as told:
        return fit(run, measuring, told)


def _told(made: Budget, path: str, json: bool) -> None:
    storage.write_bytes(path, made.to_json())
    if json:
        display.echo(display.as_json(made.model_dump()))
        return
    out = display.console()
    out.print(
        f"{number(made.seen)} samples seen, {display.count(made.kept)} kept: {number(made.passes)} passes over each"
    )
    share = made.worth / made.seen
    out.print(f"worth {number(round(made.worth))} new samples, {100 * share:.1f}% of what is seen")
    if made.pools:
        display.print_table(out, _table(made))
    for note in made.notes:
        out.print(f"note: {display.plain(note)}")
    if made.setting is not None:
        out.print(f"best: --set {made.setting}, for `tamis whatif` and `tamis materialize`")
    out.print(f"{path}; `tamis report` draws it")


def _table(made: Budget) -> Table:
    columns = [("kept", "right"), ("passes", "right"), ("predicted error", "right")]
    if made.pools[0].interval is not None:
        columns += [("95% interval", "right"), ("best in", "right")]
    columns.append(("", "left"))
    return display.table(columns, [_row(pool, pool is made.best) for pool in made.pools])


def _row(pool: Pool, best: bool) -> list[str]:
    row = [display.count(round(pool.samples)), number(pool.passes), f"{pool.error:.4f}"]
    if pool.interval is not None and pool.best_of is not None:
        low, high = pool.interval
        row += [f"{low:.4f} to {high:.4f}", f"{100 * pool.best_of:.0f}%"]
    return [*row, "least" if best else ""]
