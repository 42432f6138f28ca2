"""Late steps decide again in memory, over what a finished run has stored: no table is written, and nothing is sorted.

This is for what people ask most: another budget or shape of a density step, another epsilon, other bounds of a rule,
with nothing behind the change but steps of these kinds. What a row's fate was, and what it would be, is a number a
row, in two files that are mapped into memory. Everything else is asked of the walk: see ``whatif`` beside this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from tempfile import TemporaryFile
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.choosing import density as algorithm
from tamis.pipeline.algorithms.choosing import ranks
from tamis.pipeline.algorithms.choosing.quota_cut import QuotaCut
from tamis.pipeline.algorithms.clusters import semantic
from tamis.pipeline.audit.reading.chunks import Chunk, Rows, chunks
from tamis.pipeline.runs.account import Account
from tamis.pipeline.runs.walk import VERDICT, Run
from tamis.pipeline.steps.concepts.clustering import centroids
from tamis.pipeline.steps.duplicates.semantic.config import SEMANTIC_DUPLICATE, SemanticDuplicates
from tamis.pipeline.steps.duplicates.semantic.step import SemanticDuplicates as Semantic
from tamis.pipeline.steps.rules import step as rules
from tamis.pipeline.steps.rules.bounds import failures
from tamis.pipeline.steps.rules.config import Rules
from tamis.pipeline.steps.selectors.budget_cut import budget_of
from tamis.pipeline.steps.selectors.density import step as density
from tamis.pipeline.steps.selectors.density.config import OVER_QUOTA, Density
from tamis.pipeline.steps.write.config import Write
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import scatter, uid_words
from tamis.schemas.job import Job
from tamis.schemas.ledger import reasons
from tamis.schemas.step import StepModel

Fates = npt.NDArray[np.uint16]
"""A number a row: 0 where no verdict dropped it, else which step and reason did."""

PLACE = np.dtype([("there", "?"), ("cluster", "<i4"), ("similarity", "<f4")])
"""Of a row that reaches a density step."""

CUTTING = ("keep", "of", "temperature", "neighbours", "balance", "which")
"""Settings of a density step that do not say where a sample's place is."""

Found = TypeVar("Found")


def first_of(old: Job, new: Job) -> int | None:
    """The place among the job's steps of the first that differs; None where this module cannot decide again."""
    if old.model_copy(update={"steps": ()}) != new.model_copy(update={"steps": ()}):
        return None
    pairs = list(zip(old.steps, new.steps, strict=False))
    if len(old.steps) != len(new.steps) or any(
        (a.kind, a.name) != (b.kind, b.name) for a, b in pairs
    ):
        return None
    changed = [place for place, (a, b) in enumerate(pairs) if a != b]
    if not changed or isinstance(new.steps[changed[0]], Write):
        return None
    first = changed[0]
    own = isinstance(new.steps[first], SemanticDuplicates)
    later = new.steps[first + own :]
    if not all(isinstance(step, Rules | Density | Write) for step in later):
        return None
    return first if all(_from_what_is_stored(*pairs[place]) for place in changed) else None


def _from_what_is_stored(old: StepModel, new: StepModel) -> bool:
    """Whether two steps have the same pairs or places, and only cut them elsewhere."""
    cutting = {SemanticDuplicates: ("epsilon",), Density: CUTTING}.get(type(new))
    if cutting is None:
        return True
    return old.model_copy(update={name: getattr(new, name) for name in cutting}) == new


class Redecision:
    """What the steps of ``job`` from the one at place ``first`` on decide, on top of a walk over the run as it is.

    ``before`` and ``after``: the fates of all rows, (total,), in files below ``scratch``.
    """

    def __init__(self, walk: Run, job: Job, first: int, scratch: str, pool: Executor) -> None:
        self.old, self._job, self._pool, self._scratch = walk, job, pool, scratch
        self._reasons = tuple(reasons())
        self._names = [account.step for account in walk.accounts]
        self._steps = [step for step in job.steps[first:] if not isinstance(step, Write)]
        self._earlier = self._names[: self._names.index(self._steps[0].name)]
        self.chunks = list(chunks(walk.parts))
        self.before, self.after = (_mapped(scratch, walk.total, np.uint16) for _ in range(2))
        self.accounts = walk.accounts[: len(self._earlier)]
        self.total, self.alive = walk.total, walk.total
        self._decide()

    def fates(self, chunk: Chunk) -> tuple[Fates, Fates]:
        """Of a chunk's rows, before and after."""
        return np.asarray(self.before[chunk.place]), np.asarray(self.after[chunk.place])

    def each(self, function: Callable[[Chunk], Found]) -> Iterator[Found]:
        """What comes of every chunk, in order."""
        return iter(self._pool.map(function, self.chunks))

    def name(self, fate: int) -> str:
        """The step and reason that a fate stands for."""
        step, reason = divmod(fate - 1, len(self._reasons))
        return f"{self._names[step]}: {self._reasons[reason]}"

    def _number(self, step: str, reason: str) -> int:
        return 1 + self._names.index(step) * len(self._reasons) + self._reasons.index(reason)

    def _decide(self) -> None:
        for _ in self.each(self._begin):
            pass
        for step in self._steps:
            self.alive = self.accounts[-1].kept if self.accounts else self.total
            if isinstance(step, Rules):
                found = self.each(partial(self._bounded, step))
            elif isinstance(step, SemanticDuplicates):
                found = self.each(partial(self._alike, step))
            else:
                assert isinstance(step, Density)
                found = iter([self._chosen(step)])
            dropped: Counter[str] = Counter()
            for counts in found:
                dropped.update(counts)
            self.accounts += (Account(step.name, self.alive, dict(+dropped)),)
        self.alive = self.accounts[-1].kept

    def _begin(self, chunk: Chunk) -> None:
        """The fates of a chunk as they were, and of them those that stay whatever the later steps decide."""
        before, after = self.before[chunk.place], self.after[chunk.place]
        for step in self._names:
            pieces = chunk.pieces(partial(self.old.at, step, VERDICT))
            reasons = {why for _, piece in pieces for why in piece.file.notes.get("counts", ())}
            if not any(piece.rows for _, piece in pieces):
                continue
            one = len(reasons) == 1
            rows, table = chunk.read(self.old.root, pieces, [] if one else ["reason"])
            if one:
                fates = np.uint16(self._number(step, *reasons))
            else:
                reason = pc.dictionary_encode(table["reason"].combine_chunks())
                numbers = [self._number(step, why) for why in reason.dictionary.to_pylist()]
                fates = np.array(numbers, np.uint16)[reason.indices.to_numpy()]
            before[rows] = fates
            if step in self._earlier:
                after[rows] = fates

    def _bounded(self, step: Rules, chunk: Chunk) -> Counter[str]:
        """A rule step over one chunk: a row's reason is the first bound, in the job's order, that it fails."""
        after = self.after[chunk.place]
        alive = np.flatnonzero(after == 0)
        fate = np.zeros(len(alive), np.uint16)
        dropped: Counter[str] = Counter()
        for name, bound in step.bounds.items():
            pieces = chunk.pieces(partial(self.old.signal, name))
            rows, stored = chunk.read(self.old.root, pieces, [name])
            values = scatter(stored.append_column("row", pa.array(rows)), chunk.rows)[name]
            values = values.take(pa.array(alive))
            rules.check_bound(step.name, name, bound, pa.types.is_string(values.type))
            for reason, fails in failures(values, bound).items():
                here = fails & (fate == 0)
                fate[here] = self._number(step.name, reason)
                dropped[reason] += int(here.sum())
        after[alive] = fate
        return dropped

    def _alike(self, step: SemanticDuplicates, chunk: Chunk) -> Counter[str]:
        """Semantic duplicates over one chunk: who was compared is who reaches the step."""
        name = Semantic(step, self._job).signal
        pieces = chunk.pieces(partial(self.old.signal, name))
        rows, stored = chunk.read(self.old.root, pieces, [name])
        gone = semantic.dropped(_plain(stored[name]), step.epsilon)
        self.after[chunk.place][rows[gone]] = self._number(step.name, SEMANTIC_DUPLICATE)
        return Counter({SEMANTIC_DUPLICATE: int(gone.sum())})

    def _chosen(self, step: Density) -> Counter[str]:
        """A density step over all chunks: sums and a histogram first, then quotas, then who lies beyond them."""
        chooser = density.Density(step, self._job)
        budget = budget_of(self, step)
        (trained,) = self.old.done(step.name, "train").whole()
        clusters = trained.rows
        cut = QuotaCut(clusters, step.which, self._job.seed)
        distance, size = np.zeros(clusters, np.int64), np.zeros(clusters, np.int64)
        self._placed = _mapped(self._scratch, self.total, PLACE)
        for sums, counts, histogram in self.each(lambda c: self._summed(c, step, cut, clusters)):
            distance += sums
            size += counts
            cut.count(histogram)
        held = centroids(self.old.root, trained)
        solved = density.solved(step.name, chooser.settings(clusters, budget), distance, size, held)
        cut.at(_plain(solved["quota"]))
        number = self._number(step.name, OVER_QUOTA)
        found = list(self.each(lambda c: self._beyond(c, step, cut, number)))
        place, cluster, key = (
            np.concatenate([columns[i] for _, columns in found]) for i in range(3)
        )
        gone = place[cut.beyond(cluster, key, lambda tied: self._uids(place[tied]))]
        self.after[gone] = number
        return Counter({OVER_QUOTA: sum(sure for sure, _ in found) + len(gone)})

    def _summed(
        self, chunk: Chunk, step: Density, cut: QuotaCut, clusters: int
    ) -> tuple[Rows, Rows, Rows]:
        """Of one chunk: each cluster's sum of distances and size, and the histogram."""
        pieces = chunk.pieces(partial(self.old.at, step.name, "assign"))
        row, stored = chunk.read(self.old.root, pieces, ["cluster", "similarity"])
        alive = self.after[chunk.place][row] == 0
        row = row[alive]
        cluster, similarity = (_plain(stored[name])[alive] for name in stored.column_names)
        placed = self._placed[chunk.place]
        placed["there"][row] = True
        placed["cluster"][row], placed["similarity"][row] = cluster, similarity
        uid = self._uids(chunk.start + row) if step.which == "random" else None
        coarse = cut.coarse(np.float32(1) - similarity, uid)
        sums, counts = algorithm.intra_sums(cluster, similarity, clusters)
        return sums, counts, cut.histogram(cluster, coarse)

    def _beyond(
        self, chunk: Chunk, step: Density, cut: QuotaCut, number: int
    ) -> tuple[int, tuple[Rows, npt.NDArray[np.int32], npt.NDArray[np.uint64]]]:
        """Drop of one chunk what is certainly beyond: how many; and (place, cluster, key) of what is near the cut."""
        placed = self._placed[chunk.place]
        row = np.flatnonzero(placed["there"])
        cluster, similarity = placed["cluster"][row], placed["similarity"][row]
        uid = self._uids(chunk.start + row) if step.which == "random" else None
        distance = np.float32(1) - similarity
        sure, near = cut.split(cluster, cut.coarse(distance, uid))
        self.after[chunk.place][row[sure]] = number
        words = np.zeros((int(near.sum()), 2), np.uint64) if uid is None else uid[near]
        key = ranks.keys(distance[near], words, step.which, self._job.seed)
        return int(sure.sum()), (chunk.start + row[near], cluster[near], key)

    def _uids(self, places: Rows) -> npt.NDArray[np.uint64]:
        """(n, 2) the uids of rows by their places among all, which need not be in order."""
        found = np.empty((len(places), 2), np.uint64)
        starts = np.cumsum([0, *(part.rows for part in self.old.parts)])
        number = np.searchsorted(starts, places, side="right") - 1
        for part in np.unique(number):
            here = number == part
            piece = self.old.ingest(self.old.parts[part])
            words = uid_words(part_files.read(self.old.root, piece, ["uid"])["uid"])
            found[here] = words[places[here] - starts[part]]
        return found


def _mapped(folder: str, rows: int, kind: npt.DTypeLike) -> Any:
    """(rows,) of zeros in a file that has no name and goes with them."""
    with TemporaryFile(dir=folder) as file:
        return np.memmap(file, kind, "w+", shape=rows)


def _plain(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of numbers without nulls, not copied."""
    plain: npt.NDArray[Any] = column.combine_chunks().to_numpy()
    return plain
