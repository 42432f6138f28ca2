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
import pyarrow.compute as pc

from pipeline import storage, tables
from pipeline.audit.finished import FinishedRun
from pipeline.audit.frozen import job_of
from pipeline.inputs import InputFile, input_files
from pipeline.phases import Part
from pipeline.plan import Plan, build, check_chain
from pipeline.run import Account, Run
from pipeline.state import State
from pipeline.steps import Ledger
from pipeline.steps.embed import PRECOMPUTED
from pipeline.steps.write import Write
from pipeline.tables import Slice
from pipeline.work import Here
from schemas.errors import InputError, JobError, StateError
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
        comparison = _Comparison(run, old, new, change, count)
        for part in old.parts:
            comparison.add(part)
    return change


def kept_sids(run: FinishedRun, settings: Sequence[str]) -> Iterator[npt.NDArray[np.int64]]:
    """The sids that are kept under ``settings``, part by part."""
    with tempfile.TemporaryDirectory(prefix="tamis-whatif-") as scratch:
        walk = _walked(run, job_of(run, settings), scratch)
        for part in walk.parts:
            fates = _fates(walk, part, dict(walk.verdicts(part)), {})
            yield (np.int64(part.number) << 32) | np.flatnonzero(fates == 0)


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
    with storage.fleeting():
        walk.walk_steps()
    return walk


def _inputs(run: FinishedRun, job: Job) -> tuple[InputFile, ...]:
    """The run's inputs, with where they and their embeddings lie now, if still there: only columns' names are read.

    Raises:
        StateError: embeddings that came with the input, and are part of what stored ones are known by, are gone.
    """
    try:
        there = {file.source: file for entry in job.input for file in input_files(entry)}
    except (InputError, JobError) as error:
        if any(embed.encoder == PRECOMPUTED for embed in job.embeds):
            raise StateError(
                f"the embeddings that came with the input are not where {run.root} found them ({error}): bring the "
                "files back, unchanged: what is stored of them is known by their sizes and times"
            ) from None
        there = {}
    return tuple(
        replace(there[file.source], size=file.size, stamp=file.stamp)
        if file.source in there
        else file
        for file in run.inputs
    )


Fates = npt.NDArray[np.int64]
"""(rows,) of a part: 0 where no verdict dropped the row, else the number of the step and reason that did."""


def _fates(walk: Run, part: Part, pieces: Mapping[str, Slice], numbers: dict[str, int]) -> Fates:
    """What the verdicts in ``pieces`` say of a part's rows. ``numbers``: "step: reason" -> number; grows here."""
    fates = np.zeros(part.rows, dtype=np.int64)
    for step, piece in pieces.items():
        table = tables.read(walk.root, piece, ["row", "reason"]).combine_chunks()
        reason = pc.dictionary_encode(table["reason"]).combine_chunks()
        names = [f"{step}: {why}" for why in reason.dictionary.to_pylist()]
        number = np.array([numbers.setdefault(name, len(numbers) + 1) for name in names], np.int64)
        fates[table["row"].to_numpy()] = number[reason.indices.to_numpy()]
    return fates


@dataclass
class _Comparison:
    """Goes over the parts, and counts what changes sides."""

    run: FinishedRun
    old: Run
    new: Run
    change: Change
    count: int  # samples to be named
    numbers: dict[str, int] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """The next part. A verdict that is the same in both moves nobody: only the others are read."""
        old, new = dict(self.old.verdicts(part)), dict(self.new.verdicts(part))
        same = {step for step in old if step in new and old[step].identity == new[step].identity}
        before = _fates(self.old, part, _but(old, same), self.numbers)
        after = _fates(self.new, part, _but(new, same), self.numbers)
        moved = np.flatnonzero((before == 0) != (after == 0))
        if not len(moved):
            return
        comes = before[moved] != 0
        why = np.where(comes, before[moved], after[moved])
        self._count(part, moved, comes, why)
        room = self.count - len(self.change.samples)
        if room > 0:
            self._name(part, moved[:room], comes[:room], why[:room])

    def _count(self, part: Part, moved: Fates, comes: npt.NDArray[np.bool_], why: Fates) -> None:
        self.change.came += int(comes.sum())
        self.change.went += int((~comes).sum())
        sign = np.where(comes, 1, -1)
        names = ["", *self.numbers]
        for number, total in _sums(why, sign):
            self.change.by_reason[names[number]] += total
        cluster = _clusters(self.new, part)
        if cluster is not None:
            there = cluster[moved] >= 0
            for number, total in _sums(cluster[moved][there], sign[there]):
                self.change.by_cluster[number] += total

    def _name(self, part: Part, rows: Fates, comes: npt.NDArray[np.bool_], why: Fates) -> None:
        names = ["", *self.numbers]
        found = self.run.rows([(part.number << 32) | int(row) for row in rows])
        for row, side, number in zip(found, comes, why, strict=True):
            self.change.samples.append(
                {
                    **{name: row[name] for name in ("uid", "key", "text")},
                    "side": "comes" if side else "goes",
                    "because": names[number],
                }
            )


def _but(pieces: Mapping[str, Slice], same: set[str]) -> dict[str, Slice]:
    return {step: piece for step, piece in pieces.items() if step not in same}


def _sums(keys: Fates, values: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """(key, sum of its values) of each key that occurs."""
    there, place = np.unique(keys, return_inverse=True)
    totals = np.zeros(len(there), dtype=np.int64)
    np.add.at(totals, place, values)
    yield from zip(there.tolist(), totals.tolist(), strict=True)


def _clusters(walk: Run, part: Part) -> npt.NDArray[np.int64] | None:
    """(rows,) each row's concept, -1 where it has none; None where the job has no concepts."""
    places = walk.places(part)
    if not places:
        return None
    table = tables.read(walk.root, places[-1][1], ["row", "cluster"])
    found = np.full(part.rows, -1, dtype=np.int64)
    found[table["row"].to_numpy()] = table["cluster"].to_numpy()
    return found
