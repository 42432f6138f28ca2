"""Tasks, each of which makes one part file, and the access of a task's function to what it reads and writes.

A task is known by its fingerprint (``tamis.pipeline.tasks.phase``): the step's version, the phase's and the task's
arguments, and the digests of what it reads. So resume, re-decision and incremental work are one mechanism.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.store import finished, storage
from tamis.pipeline.store.digesting import DigestingFile
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.part_files import Slice, TableFile
from tamis.pipeline.tasks import sources
from tamis.pipeline.tasks.sources import PartSlices, Source
from tamis.schemas.scope import Scope

CULPRITS = "culprits"
"""Name in a file's notes of the rows that end their worker."""

WANTED = "wanted"
"""The role whose rows of a part are those that a task works on, where these are not all the living."""

WHOLES = frozenset(
    {"brackets", "budgets", "ceiling", "centroids", "clusters", "columns", "components", "cut"}
    | {"cuts", "frequent", "heads", "list", "queries", "range", "ratio", "recall", "references"}
    | {"search", "target", "uids", "usual"}
)
"""Labels of tasks over everything, which name their files for people."""

Args = TypeVar("Args")
"""A task's arguments: a frozen dataclass of plain values, the same for a phase's tasks and its function."""

Args_co = TypeVar("Args_co", covariant=True)
"""The same, where they are only read."""


def location() -> Any:
    """A field of a task's arguments for a location, which is no part of the task's identity."""
    return field(metadata={"location": True})


@dataclass(frozen=True)
class Members(Generic[Args_co]):
    """The parts that one task works on, and what it reads of each."""

    first: int  # number of the first part
    rows: tuple[int, ...]  # by part
    inputs: Mapping[str, Sequence[PartSlices]]
    each: Sequence[Args_co] | None = None  # by part: its own arguments
    buckets: int | None = None  # row groups of the result, joined over the parts; None: one a part
    together: bool = False  # the task's function goes over the parts by itself

    def task(self, of: Task[Args_co], position: int) -> Task[Args_co]:
        """The task for one part of the bundle's task ``of``."""
        own = {role: [by[position] for by in several] for role, several in self.inputs.items()}
        args = of.args if self.each is None else self.each[position]
        number = self.first + position
        return Task(Scope.PART, number, {**of.inputs, **own}, args, rows=self.rows[position])


@dataclass(frozen=True)
class Task(Generic[Args_co]):
    """The making of one table, which may depend on ``inputs`` and ``args`` (but for locations) alone."""

    scope: Scope
    number: int
    inputs: Mapping[str, Sequence[Source]]
    args: Args_co = None  # type: ignore[assignment]  # of a function that takes none
    piece: int | None = None  # where several tasks share a number
    label: str = ""  # of the one task over everything
    rows: int = 0  # that it works on: of the part, or of the parts together
    members: Members[Args_co] | None = None  # of a task that works on several parts

    @staticmethod
    def whole(
        label: str,
        inputs: Mapping[str, Sequence[Source]],
        args: Args = None,  # type: ignore[assignment]  # of a function that takes none
    ) -> Task[Args]:
        """The one task of its phase; ``label`` is one of WHOLES."""
        assert label in WHOLES, label
        return Task(Scope.WHOLE, 0, inputs, args, label=label)

    @property
    def name(self) -> str:
        """The name of its file, without the ending."""
        if self.label:
            return self.label
        name = paths.task_name(self.scope, self.number)
        return name if self.piece is None else f"{name}-{self.piece:05d}"

    @property
    def read_rows(self) -> int:
        """Rows of its largest role: the unit of progress."""
        pieces = (sum(source.rows for source in role) for role in self.inputs.values())
        return self.rows or max(pieces, default=0)


Ahead = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""``map``, or its like whose calls run elsewhere and before their results are asked for."""


@dataclass(frozen=True)
class Attempt:
    """Circumstances of one try of a task; no part of its identity."""

    gpus: float = 0.0  # that it holds, or its share of one
    span: tuple[int, int] | None = None  # the rows to try, see ``TaskIo.span``
    culprits: tuple[int, ...] = ()  # the rows that end their worker
    sections: tuple[int, int] | None = None  # of a probe: those of its file that are read
    closed: tuple[
        int, ...
    ] = ()  # the sections that end their worker, as ``IngestOptions`` has them
    rows_key: str | None = None  # of a phase ``per_row``: the fingerprint of its rows' values
    stored: TableFile | None = None  # a table whose rows may be taken over
    frozen: bool = False  # stored rows are taken over, and no other computed


class TaskIo(Generic[Args_co]):
    """Access of a task's function to its inputs, notes and outputs; a new one for each task, and each part of one."""

    def __init__(
        self, root: str, task: Task[Args_co], path: str, attempt: Attempt = Attempt()
    ) -> None:
        self.root, self.task, self.path, self.attempt = root, task, path, attempt
        self.ahead: Ahead = map
        self.notes: dict[str, Any] = {}
        self.counts: Counter[str] = Counter()
        self._outputs: dict[str, dict[str, Any]] = {}
        self._only: npt.NDArray[np.int64] | None = None

    @property
    def args(self) -> Args_co:
        """The task's arguments."""
        return self.task.args

    @property
    def step(self) -> str:
        """The name of the step that the task belongs to."""
        return paths.address(self.path).step

    def read(self, role: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows under ``role``, one slice after another."""
        return part_files.concat(self.root, self.slices(role), columns)

    def slices(self, role: str) -> Iterator[Slice]:
        """The slices under ``role``, one after another."""
        return sources.slices(self.root, self.task.inputs[role])

    def stream(self, role: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The same, a slice at a time."""
        for piece in self.slices(role):
            yield part_files.read(self.root, piece, columns)

    def parts(self) -> Iterator[TaskIo[Args_co]]:
        """The same access to each part, in order, of a task that works on several.

        Their counts are added to the task's. Their notes must be lists, which are joined.
        """
        members = self.task.members
        assert members is not None, f"{self.path}: a task that works on no parts"
        for position in range(len(members.rows)):
            one = TaskIo(self.root, members.task(self.task, position), self.path, self.attempt)
            yield one
            self.counts.update(one.counts)
            for name, items in one.notes.items():
                self.notes.setdefault(name, []).extend(items)

    @property
    def part(self) -> int:
        """The number of the part that the task works on."""
        assert self.task.scope is Scope.PART, self.task.scope
        return self.task.number

    @property
    def rows(self) -> int:
        """Rows of the part that the task works on."""
        assert self.task.scope is Scope.PART, self.task.scope
        return self.task.rows

    def living_mask(self) -> npt.NDArray[np.bool_]:
        """(rows,) bool: True for the rows of the part that no verdict under the role "drops" dropped."""
        mask = np.ones(self.rows, dtype=bool)
        for piece in self.slices("drops"):
            if piece.rows:
                mask[part_files.read(self.root, piece, ["row"])["row"].to_numpy()] = False
        return mask

    def living_rows(self) -> npt.NDArray[np.int64]:
        """Ascending numbers of the rows to work on: those of ``restrict``, else those under WANTED, else the living."""
        if self._only is not None:
            return self._only
        if WANTED in self.task.inputs:
            return np.unique(self.read(WANTED, ["row"])["row"].to_numpy()).astype(np.int64)
        return np.flatnonzero(self.living_mask())

    def restrict(self, rows: npt.NDArray[np.int64]) -> None:
        """Make ``living_rows`` return ``rows``: those of a part that are still to be computed."""
        self._only = rows

    @property
    def span(self) -> tuple[int, int] | None:
        """The rows (from, to) that a probe opens, whose result is thrown away; None where this is no probe."""
        return self.attempt.span

    @property
    def culprits(self) -> npt.NDArray[np.int64]:
        """The rows that must not be opened: each ended its worker."""
        return np.asarray(self.attempt.culprits, dtype=np.int64)

    def count(self, **counts: int) -> None:
        """Add to the counts that the part file carries in its footer."""
        self.counts.update(counts)

    def publish(self, path: str, table: pa.Table, row_group_rows: int | None = None) -> pa.Table:
        """Write a plain parquet file of the result, outside ``tables/``; returns its receipt."""
        size = row_group_rows or max(1, table.num_rows)
        groups = (table.slice(at, size) for at in range(0, max(1, table.num_rows), size))
        return self.publish_groups(path, groups)

    def publish_groups(self, path: str, groups: Iterable[pa.Table]) -> pa.Table:
        """The same with a row group for each table of ``groups``, at least one."""
        rows = 0
        writer: pq.ParquetWriter | None = None
        with self.output(path) as out:
            for table in groups:
                writer = writer or pq.ParquetWriter(out, table.schema, compression="zstd")
                writer.write_table(table, row_group_size=max(1, table.num_rows))
                rows += table.num_rows
            assert writer is not None, f"{path}: no row group"
            writer.close()
        return self.receipt(path, rows)

    @contextmanager
    def output(self, path: str) -> Iterator[DigestingFile]:
        """A file of the result, written whole or not at all; its bytes and sha256 are noted for the manifest."""
        finished.withdraw(self.root)
        with storage.write_atomic(storage.join(self.root, path)) as raw:
            out = DigestingFile(raw, hashlib.sha256())
            try:
                yield out
            except BaseException:
                out.abandon()
                raise
        self._outputs[path] = {"path": path, "bytes": out.written, "sha256": out.hexdigest()}

    def receipt(self, path: str, rows: int) -> pa.Table:
        """The part file of a task that writes a file of the result; resume checks that both are present."""
        self._outputs[path]["rows"] = rows
        self.notes["outputs"] = [self._outputs[name] for name in sorted(self._outputs)]
        return pa.table({"path": [path], "rows": [rows]})

    def footer(self) -> dict[str, Any]:
        """Notes and counts for the part file's footer."""
        return {**self.notes, "counts": dict(sorted(self.counts.items()))}


Function = Callable[[TaskIo[Any]], Iterable[pa.Table]]
"""A task's work: yields the file's row groups. A module-level function, so that it travels to a worker."""
