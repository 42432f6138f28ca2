"""Phases, which are waves of independent tasks; each task makes one part file.

A step's ``phases`` is a generator: it yields a phase, the runner makes its files (or finds them), and the next
phase may read them. A task is known by its fingerprint: the step's version, the phase's and the task's
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

from tamis.pipeline.store import storage
from tamis.pipeline.store.digesting import DigestingFile
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.part_files import Slice, TableFile
from tamis.schemas.resources import Claimed
from tamis.schemas.scope import Scope

CULPRITS = "culprits"
"""Name in a file's notes of the rows that end their worker."""

WHOLES = frozenset(
    {"brackets", "budgets", "centroids", "clusters", "components", "cut", "cuts"}
    | {"range", "ratio", "target", "uids"}
)
"""Labels of tasks over everything, which name their files for people."""

Args = TypeVar("Args")
"""A task's arguments: a frozen dataclass of plain values, the same for a phase's tasks and its function."""

Args_co = TypeVar("Args_co", covariant=True)
"""The same, where they are only read."""


@dataclass(frozen=True, slots=True)
class Part:
    """At most ``part_samples`` consecutive rows of one input file."""

    number: int
    file: int  # its input's number, the task number of its ingest table
    group: int  # its row group there
    rows: int

    @property
    def name(self) -> str:
        """Its form in file names."""
        return paths.task_name(Scope.PART, self.number)


def location() -> Any:
    """A field of a task's arguments for a location, which is no part of the task's identity."""
    return field(metadata={"location": True})


@dataclass(frozen=True)
class Task(Generic[Args_co]):
    """The making of one table, which may depend on ``inputs`` and ``args`` (but for locations) alone."""

    scope: Scope
    number: int
    inputs: Mapping[str, Sequence[Slice]]
    args: Args_co = None  # type: ignore[assignment]  # of a function that takes none
    piece: int | None = None  # where several tasks share a number
    label: str = ""  # of the one task over everything

    @staticmethod
    def whole(
        label: str,
        inputs: Mapping[str, Sequence[Slice]],
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
    def rows(self) -> int:
        """Rows of its largest role: the unit of progress."""
        return max(
            (sum(piece.rows for piece in pieces) for pieces in self.inputs.values()), default=0
        )


Ahead = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""``map``, or its like whose calls run elsewhere and before their results are asked for."""


@dataclass(frozen=True)
class Attempt:
    """Circumstances of one try of a task; no part of its identity."""

    gpus: float = 0.0  # that it holds, or its share of one
    span: tuple[int, int] | None = None  # the rows to try, see ``TaskIo.span``
    culprits: tuple[int, ...] = ()  # the rows that end their worker
    rows_key: str | None = None  # of a phase ``per_row``: the fingerprint of its rows' values
    stored: TableFile | None = None  # a table whose rows may be taken over
    frozen: bool = False  # stored rows are taken over, and no other computed


class TaskIo(Generic[Args_co]):
    """Access of a task's function to its inputs, notes and outputs; a new one for each task."""

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
        return part_files.concat(self.root, self.task.inputs[role], columns)

    def stream(self, role: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The same, a slice at a time."""
        for piece in self.task.inputs[role]:
            yield part_files.read(self.root, piece, columns)

    def alive(self, rows: int) -> npt.NDArray[np.int64]:
        """Living rows of a part of ``rows`` rows, ascending: those that no verdict under the role "drops" dropped."""
        if self._only is not None:
            return self._only
        mask = np.ones(rows, dtype=bool)
        for table in self.stream("drops", ["row"]):
            mask[table["row"].to_numpy()] = False
        return np.flatnonzero(mask)

    def restrict(self, rows: npt.NDArray[np.int64]) -> None:
        """Make ``alive`` return ``rows``: those of a part that are still to be computed."""
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
        with self.output(path) as out:
            pq.write_table(
                table,
                out,
                row_group_size=row_group_rows or max(1, table.num_rows),
                compression="zstd",
            )
        return self.receipt(path, table.num_rows)

    @contextmanager
    def output(self, path: str) -> Iterator[DigestingFile]:
        """A file of the result, written whole or not at all; its bytes and sha256 are noted for the manifest."""
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


@dataclass(frozen=True)
class Phase(Generic[Args]):
    """A wave of tasks."""

    name: str
    function: Callable[[TaskIo[Args]], Iterable[pa.Table]]
    tasks: Sequence[Task[Args]]
    resources: Claimed = field(default_factory=Claimed)
    per_row: bool = False  # values depend on their row alone: tamis.pipeline.tasks.row_reuse
    by_sample: bool = (
        False  # opens samples singly and can leave some out: tamis.pipeline.runs.isolate
    )
    carries_bytes: bool = False  # of the input: a pipeline of tamis.pipeline.runs.ray_engine
    reads_embedding_files: bool = False  # of the input, known by their sizes and times alone


@dataclass(frozen=True)
class Done:
    """A finished phase: its files in the order of its tasks."""

    files: Mapping[str, TableFile]

    def __getitem__(self, task: str) -> TableFile:
        return self.files[task]

    def whole(self) -> tuple[Slice, ...]:
        """Slices of all files, whole."""
        return tuple(Slice(file) for file in self.files.values())

    def groups(self, group: int) -> tuple[Slice, ...]:
        """The same row group of every file: one bucket of an exchange."""
        return tuple(Slice(file, group) for file in self.files.values())

    def total(self, name: str) -> int:
        """The sum of a count over all files."""
        return sum(int(file.notes.get("counts", {}).get(name, 0)) for file in self.files.values())

    def counts(self) -> Counter[str]:
        """All counts, summed."""
        summed: Counter[str] = Counter()
        for file in self.files.values():
            summed.update(file.notes.get("counts", {}))
        return summed
