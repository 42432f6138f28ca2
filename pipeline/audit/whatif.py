"""Another threshold over what a finished run has stored: the same steps decide again, and nothing else is done.

The walk is the run's own, over its part files: whatever has the fingerprint that it would have under the new
settings is taken as it stands, the rest is computed from stored signals, edges and embeddings into a scratch
folder. No picture is opened and no model loaded; where one would be needed the question is refused.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import storage, tables
from pipeline.audit.finished import FinishedRun
from pipeline.audit.frozen import job_of
from pipeline.engine import Here
from pipeline.inputs import InputFile, input_files
from pipeline.phases import Part
from pipeline.plan import Plan, build, check_chain
from pipeline.run import Account, Run
from pipeline.state import State
from pipeline.steps import Ledger
from pipeline.steps.write import Write
from schemas.errors import InputError, JobError
from schemas.job import Job


@dataclass
class Change:
    """What another decision moves. ``by_reason`` and ``by_cluster`` count samples that leave (-) and come (+)."""

    before: tuple[Account, ...]
    after: tuple[Account, ...]
    kept_before: int
    kept_after: int
    came: int = 0
    went: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    by_cluster: Counter[int] = field(default_factory=Counter)
    samples: list[dict[str, Any]] = field(default_factory=list)  # the first that change sides


def whatif(run: FinishedRun, settings: Sequence[str], count: int = 20) -> Change:
    """Decide again with ``settings``; ``count`` samples that change sides are named.

    Raises:
        JobError: a setting that does not fit the job.
        StateError: something was never scored: the step, and how many samples lack it.
    """
    with tempfile.TemporaryDirectory(prefix="tamis-whatif-") as scratch:
        old = _walked(run, job_of(run), storage.join(scratch, "before"))
        new = _walked(run, job_of(run, settings), storage.join(scratch, "after"))
        change = Change(old.accounts, new.accounts, old.alive, new.alive)
        for part in old.parts:
            _compare(run, old, new, part, change, count)
    return change


def kept_sids(run: FinishedRun, settings: Sequence[str]) -> Iterator[npt.NDArray[np.int64]]:
    """The sids that are kept under ``settings``, part by part."""
    with tempfile.TemporaryDirectory(prefix="tamis-whatif-") as scratch:
        walk = _walked(run, job_of(run, settings), scratch)
        for part in walk.parts:
            yield (np.int64(part.number) << 32) | np.flatnonzero(_verdicts(walk, part)[0] == "")


def _walked(run: FinishedRun, job: Job, root: str) -> Run:
    """All deciding steps of ``job``, on top of the run's tables."""
    steps = tuple(step for step in build(job) if not isinstance(step, Write | Ledger))
    check_chain(steps)
    inputs = _inputs(run, job)
    plan = Plan(job.model_copy(update={"output": root}), root, inputs, steps)
    storage.write_bytes(
        storage.join(root, "plan.json"), storage.read_bytes(storage.join(run.root, "plan.json"))
    )
    walk = Run(plan, State.open(plan), Here(root), [], base=run.root)
    walk.walk_steps()
    return walk


def _inputs(run: FinishedRun, job: Job) -> tuple[InputFile, ...]:
    """The run's inputs, with where they and their embeddings lie now, if still there: only columns' names are read."""
    try:
        there = {file.source: file for entry in job.input for file in input_files(entry)}
    except (InputError, JobError):
        there = {}
    return tuple(
        replace(there[file.source], size=file.size, stamp=file.stamp)
        if file.source in there
        else file
        for file in run.inputs
    )


def _verdicts(walk: Run, part: Part) -> tuple[npt.NDArray[Any], dict[str, pa.Table]]:
    """(rows,) the step that dropped each row of a part, "" where none did; and the verdicts."""
    step = np.full(part.rows, "", dtype=object)
    found = {}
    for name, piece in walk.verdicts(part):
        table = tables.read(walk.root, piece, ["row", "reason"])
        step[table["row"].to_numpy()] = name
        found[name] = table
    return step, found


def _reasons(rows: int, verdicts: Mapping[str, pa.Table]) -> npt.NDArray[Any]:
    reason = np.full(rows, "", dtype=object)
    for name, table in verdicts.items():
        reason[table["row"].to_numpy()] = [f"{name}: {why}" for why in table["reason"].to_pylist()]
    return reason


def _compare(run: FinishedRun, old: Run, new: Run, part: Part, change: Change, count: int) -> None:
    before, old_verdicts = _verdicts(old, part)
    after, new_verdicts = _verdicts(new, part)
    moved = np.flatnonzero((before == "") != (after == ""))
    if not len(moved):
        return
    reasons = _reasons(part.rows, old_verdicts), _reasons(part.rows, new_verdicts)
    cluster = _clusters(new, part)
    for row in moved:
        comes = before[row] != ""
        sign = 1 if comes else -1
        change.came += comes
        change.went += not comes
        change.by_reason[str(reasons[0 if comes else 1][row])] += sign
        if cluster is not None and cluster[row] >= 0:
            change.by_cluster[int(cluster[row])] += sign
    room = count - len(change.samples)
    if room > 0:
        chosen = moved[:room]
        sids = [(part.number << 32) | int(row) for row in chosen]
        for row, found in zip(chosen, run.rows(sids), strict=True):
            side = "comes" if before[row] != "" else "goes"
            why = str(reasons[0 if side == "comes" else 1][row])
            change.samples.append(
                {
                    "uid": found["uid"],
                    "key": found["key"],
                    "text": found["text"],
                    "side": side,
                    "because": why,
                }
            )


def _clusters(walk: Run, part: Part) -> npt.NDArray[np.int64] | None:
    """(rows,) each row's concept, -1 where it has none; None where the job has no concepts."""
    place = walk.place(part)
    if place is None:
        return None
    table = tables.read(walk.root, place, ["row", "cluster"])
    found = np.full(part.rows, -1, dtype=np.int64)
    found[table["row"].to_numpy()] = table["cluster"].to_numpy()
    return found
