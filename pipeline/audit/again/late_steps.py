"""A second decision of a run's last steps, in memory, over stored tables: nothing is written and nothing sorted.

It covers the most frequent questions: another budget or shape of a density step, another epsilon, other bounds of a
rule. Every step from the first change on must have such ``cutting`` settings; ``whatif`` beside this walks the steps
again for any other change. The fates of all rows before and after are two files, mapped into memory, of one number a
row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from tempfile import TemporaryFile
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.runs.account import Account
from tamis.pipeline.runs.walk import Run
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tables.sids import part_of, row_of
from tamis.pipeline.tasks.chunks import Chunk, Rows, chunks
from tamis.pipeline.tasks.phase import VERDICT
from tamis.pipeline.tasks.sources import ByPart
from tamis.schemas.job import Job
from tamis.schemas.ledger import reasons
from tamis.schemas.registry import audit_class
from tamis.schemas.step import StepModel

Fates = npt.NDArray[np.uint16]
"""(rows,) uint16: 0 for a living row, else the number of the step and reason that dropped it."""

Result = TypeVar("Result")


def first_of(old: Job, new: Job) -> int | None:
    """Index of the first step that differs between two jobs; None for a change that this module cannot decide."""
    if old.model_copy(update={"steps": ()}) != new.model_copy(update={"steps": ()}):
        return None
    pairs = list(zip(old.steps, new.steps, strict=False))
    if len(old.steps) != len(new.steps) or any(
        (a.kind, a.name) != (b.kind, b.name) for a, b in pairs
    ):
        return None
    changed = [index for index, (a, b) in enumerate(pairs) if a != b]
    if not changed or new.steps[changed[0]].is_last:
        return None
    first = changed[0]
    again = _deciding(new.steps[first:])
    if not all(step.cutting for step in again) or any(step.compares_samples for step in again[1:]):
        return None
    return first if all(_is_cut_elsewhere(*pairs[index]) for index in changed) else None


def _deciding(steps: Sequence[StepModel]) -> list[StepModel]:
    """Those of some steps that may drop samples, or make what others read."""
    return [step for step in steps if not (step.is_last or step.for_searches)]


def lacking(walk: Run, old: Job, new: Job) -> str:
    """The reason why the stored tables of a step that differs do not decide the new settings; "" if they do."""
    for before, after in zip(old.steps, new.steps, strict=True):
        why = audit_class(after.kind)(after).lacks(walk, before) if before != after else ""
        if why:
            return f"{after.name}: {why}"
    return ""


def _is_cut_elsewhere(old: StepModel, new: StepModel) -> bool:
    """Tell whether two steps differ in their ``cutting`` settings alone, so that both store the same tables."""
    cut = {name: getattr(new, name) for name in new.cutting}
    return new.is_last or old.model_copy(update=cut) == new


class Redecision:
    """Decisions of the steps of ``job`` from index ``first`` on, over the tables of a walk over the unchanged run.

    ``before`` and ``after``: the fates of all rows, (total,), in files below ``scratch``.
    """

    def __init__(self, walk: Run, job: Job, first: int, scratch: str, pool: Executor) -> None:
        self.old, self.root, self.job = walk, walk.root, job
        self._pool, self._scratch = pool, scratch
        self._reasons = tuple(reasons())
        self._names = [account.step for account in walk.accounts]
        self._steps = _deciding(job.steps[first:])
        self._earlier = self._names[: self._names.index(self._steps[0].name)]
        self.chunks = list(chunks(walk.parts))
        self.total, self.alive = walk.total, walk.total
        self.before, self.after = (self.scratch(np.uint16) for _ in range(2))
        self.accounts = walk.accounts[: len(self._earlier)]
        self.notes = [self._edges_told(step) for step in self._steps if step.edge_phases]
        self._decide()

    def _edges_told(self, step: StepModel) -> str:
        count = sum(self.old.done(step.name, phase).rows for phase in step.edge_phases)
        return f"{step.name}: decided again over its {count:,} stored edges"

    def fates(self, chunk: Chunk) -> tuple[Fates, Fates]:
        """The fates of a chunk's rows, before and after."""
        return np.asarray(self.before[chunk.place]), np.asarray(self.after[chunk.place])

    def each(self, function: Callable[[Chunk], Result]) -> Iterator[Result]:
        """Results of ``function`` for all chunks, in order."""
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
            dropped: Counter[str] = Counter()
            for counts in audit_class(step.kind)(step).decide_again(self):
                dropped.update(counts)
            self.accounts += (Account(step.name, self.alive, dict(+dropped)),)
        self.alive = self.accounts[-1].kept

    def _begin(self, chunk: Chunk) -> None:
        """Fill in a chunk's fates: all of them before, and after only those of the steps that do not decide again."""
        before, after = self.before[chunk.place], self.after[chunk.place]
        for step in self._names:
            verdict = self.old.at(step, VERDICT)
            pieces, reasons = chunk.pieces(verdict), _reasons_of(verdict, chunk)
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

    # For the steps.

    def living(self, chunk: Chunk) -> npt.NDArray[np.bool_]:
        """(rows,) True for rows that no verdict has dropped."""
        living: npt.NDArray[np.bool_] = np.asarray(self.after[chunk.place]) == 0
        return living

    def drop(self, step: str, reason: str, rows: Rows) -> Counter[str]:
        """Note the fate of rows, given by their indices among all rows; returns the count by reason."""
        self.after[rows] = self._number(step, reason)
        return Counter({reason: len(rows)})

    def signal(self, chunk: Chunk, name: str) -> tuple[Rows, pa.Array]:
        """The rows that have a signal, and their values."""
        rows, stored = chunk.read(self.root, chunk.pieces(self.old.signal(name)), [name])
        return rows, stored[name].combine_chunks()

    def stored(
        self, chunk: Chunk, step: str, phase: str, columns: list[str]
    ) -> tuple[Rows, pa.Table]:
        """The rows of a phase's tables, and their columns."""
        return chunk.read(self.root, chunk.pieces(self.old.at(step, phase)), columns)

    def whole(self, step: str, phase: str) -> Slice:
        """The one table of a phase."""
        done = self.old.done(step, phase)
        assert len(done) == 1, f"{step}: {phase} has {len(done)} tables"
        return done.files.file(0).slice()

    def tables(self, step: str, phase: str) -> Sequence[Slice]:
        """All tables of a phase, whole."""
        files = self.old.done(step, phase).files
        return [files.file(position).slice() for position in range(len(files))]

    def places(self, sids: Rows) -> Rows:
        """The indices among all rows of rows given by their sids."""
        starts = np.cumsum([0, *self.old.parts.rows])
        places: Rows = starts[part_of(sids)] + row_of(sids)
        return places

    def scratch(self, kind: npt.DTypeLike) -> Any:
        """(total,) zeros in an unnamed file, which is removed together with the array."""
        with TemporaryFile(dir=self._scratch) as file:
            return np.memmap(file, kind, "w+", shape=self.total)

    def uids(self, places: Rows) -> npt.NDArray[np.uint64]:
        """(n, 2) uint64 halves of the uids of rows, given by their indices among all rows, in any order."""
        found = np.empty((len(places), 2), np.uint64)
        starts = np.cumsum([0, *self.old.parts.rows])
        ingest = self.old.ingest()
        number = np.searchsorted(starts, places, side="right") - 1
        for part in np.unique(number):
            here = number == part
            words = uid_words(part_files.read(self.old.root, ingest[int(part)], ["uid"])["uid"])
            found[here] = words[places[here] - starts[part]]
        return found


def _reasons_of(verdict: ByPart, chunk: Chunk) -> set[str]:
    """The reasons of the files of a verdict that have the parts of a chunk."""
    first, last = chunk.parts[0].number, chunk.parts[-1].number
    files = np.unique(verdict.file[first : last + 1]).tolist()
    return {why for file in files for why in verdict.files.note(file).get("counts", ())}
