"""A compute budget beside a finished run: the passes over what it kept, and the pool that a law would train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from tamis.pipeline.algorithms import scaling
from tamis.pipeline.algorithms.scaling import Buckets
from tamis.pipeline.audit.again.frozen_job import job_of
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import counted, number
from tamis.pipeline.steps.selectors.config import Chooser
from tamis.pipeline.store import storage
from tamis.schemas import yaml12
from tamis.schemas.budget import Budget, Law, Pool
from tamis.schemas.errors import JobError
from tamis.schemas.problems import said
from tamis.schemas.step import StepModel

MANY = 4
"""Passes up to which repeated samples are nearly as good as new ones."""

Ints = npt.NDArray[np.int64]

Draws = Sequence[Law]
"""Laws that the measurements allow as well, drawn from what is uncertain in them."""


def read_law(path: str) -> Law:
    """The law in a YAML or JSON file, or in the ``budget.json`` of a run.

    Raises:
        JobError: no such file, or it holds no law.
    """
    try:
        raw = yaml12.load(storage.read_bytes(path).decode("utf-8-sig"))
    except FileNotFoundError:
        raise JobError(f"--law {path}: no such file") from None
    except (UnicodeDecodeError, yaml12.YAMLError) as error:
        raise JobError(f"--law {path}: not YAML: {' '.join(str(error).split())}") from None
    if isinstance(raw, dict) and isinstance(raw.get("law"), dict):
        raw = raw["law"]
    try:
        return Law.model_validate(raw)
    except ValidationError as error:
        problems = error.errors()
        first = problems[0]
        at = ".".join(map(str, first["loc"])) or "the file"
        known = {"missing": "is missing", "extra_forbidden": "is no part of a law"}
        what = known.get(first["type"]) or said(first, problems)
        raise JobError(
            f"--law {path}: {at}: {what}: a law has `a`, `d`, `unit`, and `buckets` with `samples`, `b` and "
            "`tau` each"
        ) from None


def check_seen(seen: float) -> None:
    """Check a budget.

    Raises:
        JobError: it is no number from 1 on.
    """
    if not 1 <= seen < float("inf"):
        raise JobError(
            f"--seen {seen:g}: the samples that a training looks at, 1 or more, such as 1.28e9"
        )


def budget(
    run: FinishedRun,
    seen: float,
    settings: Sequence[str] = (),
    law: Law | None = None,
    draws: Draws = (),
    notes: Sequence[str] = (),
) -> Budget:
    """The passes of ``seen`` samples of training over what a run keeps, and over each pool of a law.

    Args:
        run: finished.
        seen: samples that the training looks at, repetitions counted.
        settings: as of ``whatif``: what the run would keep by them.
        law: its buckets are joined in the order of b, the steepest first; those of a signal are in its order.
        draws: of the law, for intervals.
        notes: that belong to the law.

    Raises:
        JobError: ``seen`` is below 1, nothing is kept, or a setting does not fit.
        StateError: ``settings`` cannot be decided from what is stored.
    """
    check_seen(seen)
    decided = _decided(run, settings)
    kept = decided.kept
    if not kept:
        raise JobError(
            f"{storage.redact(run.root)}: keeps no sample, so there is nothing to train on"
        )
    pools = _pools(law, seen, draws) if law is not None else []
    worth, repeated = _worth(run, decided, seen)
    made = Budget(
        job=run.manifest.job["name"],
        seen=seen,
        kept=kept,
        passes=seen / kept,
        worth=worth,
        law=law,
        pools=tuple(pools),
        setting=None,
        notes=(*_other(run, decided, settings), *_passes(seen / kept), *repeated, *notes),
    )
    if law is None or made.best is None:
        return made
    setting, why = _setting(decided, law, made.best)
    return made.model_copy(update={"setting": setting, "notes": (*made.notes, *why)})


class _Decided(NamedTuple):
    """The steps of a run under some settings, the samples that enter each, and those that are kept."""

    steps: Sequence[StepModel]
    entered: Mapping[str, int]
    kept: int
    changed: bool


def _decided(run: FinishedRun, settings: Sequence[str]) -> _Decided:
    if not settings:
        entered = {step.step: step.entered for step in run.manifest.steps}
        return _Decided(run.steps, entered, run.manifest.kept, False)
    change = whatif(run, settings, 0)
    entered = {account.step: account.entered for account in change.after}
    return _Decided(job_of(run, settings).steps, entered, change.kept_after, True)


def _worth(run: FinishedRun, decided: _Decided, seen: float) -> tuple[float, list[str]]:
    """New samples that say as much as ``seen`` ones, those repeated in ``subset.npy`` seen as often; and notes."""
    times = run.steps[-1].repeated_by if run.steps else None
    if times is None:
        return scaling.effective(decided.kept, seen), []
    if decided.changed:
        return scaling.effective(decided.kept, seen), [
            (
                f"`{times}` repeats samples, and how often under other settings is not counted: worth and passes are "
                "those of samples seen equally often; `tamis materialize` makes a run of these settings"
            )
        ]
    with sql.connect(run) as connection:
        rows = connection.execute(
            f"SELECT {sql.identifier(times)}::DOUBLE, count(*) FROM ledger WHERE kept GROUP BY 1 ORDER BY 1"
        ).fetchall()
    total = sum(each * count for each, count in rows)
    worth = sum(scaling.effective(count, seen * each * count / total) for each, count in rows)
    low, high = (number(seen * rows[place][0] / total) for place in (0, -1))
    return worth, [
        (
            f"`{times}` repeats samples: subset.npy has {counted(round(total), 'uid')}, {number(seen / total)} passes "
            f"over it, in which a sample is seen {low} to {high} times; worth counts that, the pools of a law do not"
        )
    ]


def joined(law: Law) -> Ints:
    """The places of the law's buckets in the order in which pools take them: the steepest b first."""
    return np.argsort([bucket.b for bucket in law.buckets], kind="stable")


def sizes(law: Law) -> list[float]:
    """The samples of each pool."""
    found: list[float] = np.cumsum([law.buckets[place].samples for place in joined(law)]).tolist()
    return found


def errors(law: Law, seen: Sequence[float], order: Ints | None = None) -> scaling.Floats:
    """The error of each pool after each of ``seen``, float64 (pools, S).

    ``order``: of the buckets, by default as ``joined``.
    """
    rows = [(bucket.samples, bucket.b, bucket.tau) for bucket in law.buckets]
    buckets = Buckets(*np.array(rows, np.float64).T).take(joined(law) if order is None else order)
    shared = scaling.Law(law.a, law.d, law.unit)
    return scaling.prefixes(shared, buckets, np.asarray(seen, np.float64))


def _pools(law: Law, seen: float, draws: Draws) -> list[Pool]:
    found = errors(law, [seen])[:, 0]
    order = joined(law)
    drawn = np.stack([errors(other, [seen], order)[:, 0] for other in draws]) if draws else None
    pools = []
    for index, samples in enumerate(sizes(law)):
        interval = best = None
        if drawn is not None:
            low, high = np.quantile(drawn[:, index], [0.025, 0.975]).tolist()
            interval, best = (low, high), float((drawn.argmin(axis=1) == index).mean())
        pools.append(
            Pool(
                buckets=index + 1,
                samples=samples,
                passes=seen / samples,
                error=float(found[index]),
                interval=interval,
                best_of=best,
            )
        )
    return pools


def _other(run: FinishedRun, decided: _Decided, settings: Sequence[str]) -> list[str]:
    """What a budget of other settings says of itself: it is kept with the run, and shown in its report."""
    if not decided.changed:
        return []
    changed = ", ".join(map(storage.redact, settings))
    return [f"this is under {changed}; the run itself keeps {counted(run.manifest.kept, 'sample')}"]


def _passes(passes: float) -> list[str]:
    if passes <= MANY:
        return []
    return [
        (
            f"{number(passes)} passes: beyond {MANY} each further one says clearly less than new samples would: keep "
            "more where there are more that are good enough"
        )
    ]


def _setting(decided: _Decided, law: Law, best: Pool) -> tuple[str | None, list[str]]:
    """``STEP.keep=COUNT`` for the selector that decides by the law's signal, else the last; or why there is none."""
    if law.signal is not None and sorted(joined(law)[: best.buckets]) != list(range(best.buckets)):
        return None, [
            (
                f"the best pool is not the first of the buckets by {law.signal}, so no `keep` makes it: some that "
                "stand before it teach less"
            )
        ]
    count = max(1, round(best.samples))
    last = _last(decided.steps, law)
    name = last.name if last is not None else None
    there = decided.entered[name] if name is not None else decided.kept
    if count > there:
        where = f"reach `{name}`" if name is not None else "are kept by the run"
        return None, [
            (
                f"the best pool has {count:,} samples, and {counted(there, 'sample')} {where}: the law is one "
                "of a larger pool, and its passes are what can be compared"
            )
        ]
    if isinstance(last, Chooser) and last.keep is not None:
        return f"{name}.keep={count}", _behind(decided, last.name)
    ends = {
        step.kept_by[1] for step in decided.steps if step.kept_by and step.kept_by[0] == law.signal
    }
    end = law.best or max(ends, default="highest")
    lowest = ", best: lowest" if end == "lowest" else ""
    step = f"score: {{signal: {law.signal or 'SIGNAL'}{lowest}, keep: {count}}}"
    if last is not None:
        return None, [
            f"`{name}` keeps by that order, but no such number: write `{step}` in its place"
        ]
    return None, [f"no step of the run keeps so many by that order: add `{step}` to its job"]


def _behind(decided: _Decided, selector: str) -> list[str]:
    """A note where steps behind the selector drop some of what it keeps."""
    steps = [*decided.entered]
    later = steps[steps.index(selector) + 1 :]
    left = [decided.entered[step] for step in later] + [decided.kept]
    drop = [step for step, (n, then) in zip(later, pairwise(left), strict=True) if then < n]
    if not drop:
        return []
    named = ", ".join(f"`{step}`" for step in drop)
    return [
        (
            f"{named} behind `{selector}` dropped {left[0] - left[-1]:,} of the {left[0]:,} that it kept: fewer than "
            "the best pool will be left, `tamis whatif` says how many, and a larger `keep` makes up for it"
        )
    ]


def _last(steps: Sequence[StepModel], law: Law) -> StepModel | None:
    """The last step that keeps by the law's order, or that keeps a number where the law has none."""
    chosen: list[StepModel]
    if law.signal is None:
        chosen = [step for step in steps if isinstance(step, Chooser) and step.keep is not None]
    else:
        ends = ("highest", "lowest") if law.best is None else (law.best,)
        orders = [(law.signal, end) for end in ends]
        chosen = [step for step in steps if step.kept_by in orders]
    return chosen[-1] if chosen else None
