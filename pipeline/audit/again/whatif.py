"""Effect of other settings on a finished run: its steps decide again over its stored tables.

The steps are walked as in any run, and tables whose fingerprints fit the new settings are taken from the run. The
others are computed from stored signals, edges and embeddings, into a scratch folder. No model is loaded: a question
that needs one is refused. The only pictures that are opened are those of pairs that are found anew.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tamis.pipeline.audit.again.frozen_job import job_of
from tamis.pipeline.audit.again.late_steps import Fates, Redecision, first_of, lacking
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.runs.account import Account
from tamis.pipeline.runs.plan import Plan, build, check_chain
from tamis.pipeline.runs.state import State
from tamis.pipeline.runs.walk import Run
from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.part_files import DamagedTableError, Slice
from tamis.pipeline.tasks.chunks import Chunk, chunks
from tamis.pipeline.tasks.parts import Part
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.errors import InputError, JobError, StateError
from tamis.schemas.events import Event, Observer, PhaseStarted
from tamis.schemas.job import Job
from tamis.schemas.layout import PLAN, PLAN_TABLE

Result = TypeVar("Result")


@dataclass
class Change:
    """Effect of other settings. ``by_reason`` and ``by_cluster`` count samples that leave (-) and come (+)."""

    before: tuple[Account, ...]
    after: tuple[Account, ...]
    kept_before: int
    kept_after: int
    came: int = 0
    went: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    by_cluster: Counter[int] = field(default_factory=Counter)
    samples: list[dict[str, Any]] = field(default_factory=list)  # the first that change sides
    notes: list[str] = field(default_factory=list)  # how steps that compare samples decided again


def whatif(run: FinishedRun, settings: Sequence[str], count: int = 20) -> Change:
    """Decide again with ``settings``; ``count`` samples that change sides are named.

    Raises:
        JobError: a setting that does not fit the job.
        StateError: something was never scored: the step, and how many samples lack it.
    """
    with _both(run, settings) as both:
        change = Change(both.old.accounts, both.accounts, both.old.alive, both.alive)
        comparison = _Comparison(run, both, change, count)
        for moved in both.each(comparison.moved):
            comparison.add(moved)
        change.notes += both.notes
    return change


class _Both(Protocol):
    """The run's decisions, and those of the other settings."""

    old: Run
    chunks: list[Chunk]
    notes: list[str]

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts under the other settings."""

    @property
    def alive(self) -> int:
        """Number of samples kept under the other settings."""

    def fates(self, chunk: Chunk) -> tuple[Fates, Fates]:
        """The fates of a chunk's rows, before and after; a verdict that is the same in both may be left out."""

    def each(self, function: Callable[[Chunk], Result]) -> Iterator[Result]:
        """Results of ``function`` for all chunks, in order."""

    def name(self, fate: int) -> str:
        """The step and reason that a fate stands for."""


@contextmanager
def _both(run: FinishedRun, settings: Sequence[str]) -> Iterator[_Both]:
    """Both decisions: the second in memory where only late steps differ, else by another walk."""
    now = job_of(run)
    then = job_of(run, settings).model_copy(update={"name": now.name})  # a name decides nothing
    check_chain(build(then))
    with (
        _damage_reported(run),
        tempfile.TemporaryDirectory(prefix="tamis-whatif-") as scratch,
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        old = _walked(run, now, storage.join(scratch, "before"))
        first = first_of(now, then)
        why = lacking(old, now, then) if first is not None else ""
        both: _Both
        if first is not None and not why:
            both = Redecision(old, then, first, scratch, pool)
        else:
            searched = _Searched(then)
            new = _walked(run, then, storage.join(scratch, "after"), [searched])
            both = _Walks(old, new, searched.notes(why))
        yield both


class _Searched:
    """The steps of a walk that look for alike samples again."""

    def __init__(self, job: Job) -> None:
        self._searches = {step.name: step.edge_phases for step in job.steps if step.edge_phases}
        self._steps: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.phase in self._searches.get(event.step, ()):
            self._steps.append(event.step)

    def notes(self, why: str) -> list[str]:
        """A line for each of them; ``why`` none could decide over what is stored."""
        lines = [
            f"{step}: its pairs were searched for again, which takes as long as in a run"
            for step in dict.fromkeys(self._steps)
        ]
        return lines + [why] * bool(lines and why)


@contextmanager
def _damage_reported(run: FinishedRun) -> Iterator[None]:
    try:
        yield
    except DamagedTableError as damage:
        path, why = damage.args
        raise part_files.damage_error(
            path if storage.is_absolute(path) else storage.join(run.root, path), why
        ) from None


class _Walks:
    """Two walks over the same parts, whose verdicts are compared."""

    def __init__(self, old: Run, new: Run, notes: list[str]) -> None:
        self.old, self._new, self.notes = old, new, notes
        self.chunks = list(chunks(old.parts))
        self.accounts, self.alive = new.accounts, new.alive
        self._numbers: dict[str, int] = {}

    def each(self, function: Callable[[Chunk], Result]) -> Iterator[Result]:
        """Results of ``function`` for all chunks, one after another."""
        return map(function, self.chunks)

    def fates(self, chunk: Chunk) -> tuple[Fates, Fates]:
        """The fates of a chunk's rows; a verdict that is the same in both walks moves no sample and is not read."""
        pairs = [self._part(part) for part in chunk.parts]
        before, after = (np.concatenate(fates) for fates in zip(*pairs, strict=True))
        return before, after

    def _part(self, part: Part) -> tuple[Fates, Fates]:
        old, new = (
            {step: table[part.number] for step, table in walk.verdicts()}
            for walk in (self.old, self._new)
        )
        same = {step for step in old if step in new and old[step].identity == new[step].identity}
        return (
            _fates(self.old, part, _but(old, same), self._numbers),
            _fates(self._new, part, _but(new, same), self._numbers),
        )

    def name(self, fate: int) -> str:
        """The step and reason that a fate stands for."""
        return list(self._numbers)[fate - 1]


def _walked(run: FinishedRun, job: Job, root: str, observers: Sequence[Observer] = ()) -> Run:
    """A walk over the deciding steps of ``job`` that takes the run's tables where they fit."""
    others = {config.name for config in job.steps if config.is_last or config.for_searches}
    steps = tuple(step for step in build(job) if step.name not in {"ledger", *others})
    inputs = _inputs(run, job)
    plan = Plan(job.model_copy(update={"output": root}), root, inputs, steps)
    for name in (PLAN, PLAN_TABLE):
        storage.copy(storage.join(run.root, name), storage.join(root, name))
    walk = Run(plan, State.open(plan), Here(root), observers, base=run.root)
    with storage.without_sync():
        walk.walk_steps()
    return walk


def _inputs(run: FinishedRun, job: Job) -> tuple[InputFile, ...]:
    """The run's inputs with their present paths and those of their embeddings; only names of columns are read.

    Raises:
        StateError: embeddings that came with the input are gone; the fingerprints of stored ones need them.
    """
    try:
        present = {file.source: file for entry in job.input for file in input_files(entry)}
    except (InputError, JobError) as error:
        if any(embed.takes_embeddings for embed in job.embeds):
            raise StateError(
                f"the embeddings that came with the input are not where {run.root} found them ({error}): bring the "
                "files back, unchanged: what is stored of them is known by their sizes and times"
            ) from None
        present = {}
    return tuple(
        replace(present[file.source], size=file.size, stamp=file.stamp)
        if file.source in present
        else file
        for file in run.inputs
    )


def _fates(walk: Run, part: Part, pieces: Mapping[str, Slice], numbers: dict[str, int]) -> Fates:
    """The fates of a part's rows by the verdicts in ``pieces``. ``numbers``: "step: reason" -> number; grows here."""
    fates = np.zeros(part.rows, dtype=np.uint16)
    for step, piece in pieces.items():
        table = part_files.read(walk.root, piece, ["row", "reason"]).combine_chunks()
        reason = pc.dictionary_encode(table["reason"]).combine_chunks()
        names = [f"{step}: {why}" for why in reason.dictionary.to_pylist()]
        number = np.array([numbers.setdefault(name, len(numbers) + 1) for name in names], np.uint16)
        fates[table["row"].to_numpy()] = number[reason.indices.to_numpy()]
    return fates


class _Moved(NamedTuple):
    """Samples of a chunk that change sides: the first of them, and counts of those that come (+) and go (-)."""

    came: int
    went: int
    by_fate: Mapping[int, int]
    by_cluster: Mapping[int, int]
    first: Sequence[tuple[int, bool, int]]  # (sid, whether it comes, why)


@dataclass
class _Comparison:
    """Count of the samples that change sides, over all chunks."""

    run: FinishedRun
    both: _Both
    change: Change
    count: int  # samples to be named

    def moved(self, chunk: Chunk) -> _Moved:
        """The samples of one chunk that change sides."""
        before, after = self.both.fates(chunk)
        rows = np.flatnonzero((before == 0) != (after == 0))
        comes = before[rows] != 0
        why, sign = np.where(comes, before[rows], after[rows]), np.where(comes, 1, -1)
        came = int(comes.sum())
        cluster = _clusters(self.both.old, chunk) if len(rows) else None
        by_cluster = {}
        if cluster is not None:
            clustered = cluster[rows] >= 0
            by_cluster = _sums(cluster[rows][clustered], sign[clustered])
        sids = chunk.sids(rows[: self.count]).tolist()
        first = list(zip(sids, comes.tolist(), why.tolist(), strict=False))
        return _Moved(came, len(rows) - came, _sums(why, sign), by_cluster, first)

    def add(self, moved: _Moved) -> None:
        """Add the next chunk's samples."""
        change = self.change
        change.came += moved.came
        change.went += moved.went
        for fate, total in moved.by_fate.items():
            change.by_reason[self.both.name(fate)] += total
        for cluster, total in moved.by_cluster.items():
            change.by_cluster[cluster] += total
        first = moved.first[: self.count - len(change.samples)]
        rows = self.run.rows([sid for sid, *_ in first])
        for row, (_, comes, fate) in zip(rows, first, strict=True):
            change.samples.append(
                {
                    **{name: row[name] for name in ("uid", "key", "text")},
                    "side": "comes" if comes else "goes",
                    "because": self.both.name(fate),
                }
            )


def _but(pieces: Mapping[str, Slice], same: set[str]) -> dict[str, Slice]:
    return {step: piece for step, piece in pieces.items() if step not in same}


def _sums(keys: npt.NDArray[Any], values: npt.NDArray[np.int64]) -> dict[int, int]:
    """Each key that occurs -> the sum of its values."""
    distinct, group = np.unique(keys, return_inverse=True)
    totals = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(totals, group, values)
    return dict(zip(distinct.tolist(), totals.tolist(), strict=True))


def _clusters(walk: Run, chunk: Chunk) -> npt.NDArray[np.int64] | None:
    """(rows,) int64 concept of each row, -1 for none; None for a job without concepts."""
    made = walk.place_tables()
    if not made:
        return None
    pieces = chunk.pieces(made[-1][1])
    rows, table = chunk.read(walk.root, pieces, ["cluster"])
    found = np.full(chunk.rows, -1, dtype=np.int64)
    found[rows] = table["cluster"].to_numpy()
    return found
