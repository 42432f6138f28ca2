"""What a step is made of: phases, which are waves of independent tasks, each of which makes one part file.

A step's ``phases`` is a generator: it yields a phase, the runner has it done (or finds it done), and the next
phase may look at what came out. A task is known by its fingerprint: the step's version, the phase's and the task's
arguments, and the digests of what it reads. So resume, re-decision and incremental work are one mechanism.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.store import storage
from tamis.pipeline.store.digesting import Digesting
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.part_files import Slice, TableFile
from tamis.schemas.resources import Claimed

SPAN = "span"
"""In a task's places: the rows to try, see ``TaskIo.span``."""

GPUS = "gpus"
"""In a task's places, where it claims some: how many, or which share of one."""

CULPRITS = "culprits"
"""In a task's places, and then in its file's notes: the rows that end their worker."""


@dataclass(frozen=True, slots=True)
class Part:
    """At most ``part_samples`` consecutive rows of one input file."""

    number: int
    file: int  # its input's number, the task number of its ingest table
    group: int  # its row group there
    rows: int

    @property
    def name(self) -> str:
        """As it stands in file names."""
        return f"part-{self.number:05d}"


@dataclass(frozen=True)
class Task:
    """One part file to be made. ``inputs`` and ``args`` (JSON values) are all that it may depend on."""

    name: str
    inputs: Mapping[str, Sequence[Slice]] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, Any] = field(
        default_factory=dict
    )  # where things lie: no part of its identity

    @property
    def rows(self) -> int:
        """Rows that it reads under the role that it reads most of; what progress is counted in."""
        return max(
            (sum(piece.rows for piece in pieces) for pieces in self.inputs.values()), default=0
        )


Ahead = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


class TaskIo:
    """What a task's function may do: read its inputs, and note counts. Made anew for each task."""

    def __init__(self, root: str, task: Task, path: str) -> None:
        self.root, self.task, self.path = root, task, path
        self.ahead: Ahead = map
        """Works as ``map``; its calls may be made elsewhere, some before their results are asked for."""
        self.notes: dict[str, Any] = {}
        self.counts: Counter[str] = Counter()
        self._outputs: dict[str, dict[str, Any]] = {}
        self._only: npt.NDArray[np.int64] | None = None

    @property
    def args(self) -> Mapping[str, Any]:
        """The task's arguments, its phase's merged in."""
        return self.task.args

    def read(self, role: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows under ``role``, one slice after another."""
        return part_files.concat(self.root, self.task.inputs[role], columns)

    def stream(self, role: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The same, a slice at a time."""
        for piece in self.task.inputs[role]:
            yield part_files.read(self.root, piece, columns)

    def alive(self, rows: int) -> npt.NDArray[np.int64]:
        """The rows of a part of ``rows``, in order, that no verdict under the role "drops" dropped."""
        if self._only is not None:
            return self._only
        mask = np.ones(rows, dtype=bool)
        for table in self.stream("drops", ["row"]):
            mask[table["row"].to_numpy()] = False
        return np.flatnonzero(mask)

    def restrict(self, rows: npt.NDArray[np.int64]) -> None:
        """Let ``alive`` say ``rows``: what of a part is still to be computed."""
        self._only = rows

    @property
    def span(self) -> tuple[int, int] | None:
        """The rows (from, to) that alone are to be opened, where this is a probe and its result thrown away."""
        span = self.task.places.get(SPAN)
        return (span[0], span[1]) if span is not None else None

    @property
    def culprits(self) -> npt.NDArray[np.int64]:
        """The rows that must not be opened: whoever did has died of it."""
        return np.asarray(self.task.places.get(CULPRITS, ()), dtype=np.int64)

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
    def output(self, path: str) -> Iterator[Digesting]:
        """A file of the result: it stands whole or not at all, and its bytes and sha256 are noted for the manifest."""
        with storage.write_atomic(storage.join(self.root, path)) as raw:
            out = Digesting(raw, hashlib.sha256())
            try:
                yield out
            except BaseException:
                out.abandon()
                raise
        self._outputs[path] = {"path": path, "bytes": out.written, "sha256": out.hexdigest()}

    def receipt(self, path: str, rows: int) -> pa.Table:
        """The part file of a task whose work is a file of the result; resume checks that both are there."""
        self._outputs[path]["rows"] = rows
        self.notes["outputs"] = [self._outputs[name] for name in sorted(self._outputs)]
        return pa.table({"path": [path], "rows": [rows]})

    def footer(self) -> dict[str, Any]:
        """Notes and counts, as the part file's footer keeps them."""
        return {**self.notes, "counts": dict(sorted(self.counts.items()))}


Function = Callable[[TaskIo], Iterable[pa.Table]]
"""A task's work: yields the file's row groups. A module-level function, so that it travels to a worker."""


@dataclass(frozen=True)
class Phase:
    """A wave of tasks. ``args`` are merged into each task's own."""

    name: str
    function: Function
    tasks: Sequence[Task]
    args: Mapping[str, Any] = field(default_factory=dict)
    resources: Claimed = field(default_factory=Claimed)
    per_row: bool = (
        False  # a row's values depend on that row alone: see tamis.pipeline.tasks.row_reuse
    )
    by_sample: bool = False  # opens one sample after another, and can leave some out: see tamis.pipeline.runs.isolate
    moves_pictures: bool = False  # however few rows it reads, it takes its time


@dataclass(frozen=True)
class Done:
    """A finished phase: its files in the order of its tasks."""

    files: Mapping[str, TableFile]

    def __getitem__(self, task: str) -> TableFile:
        return self.files[task]

    def whole(self) -> tuple[Slice, ...]:
        """All files, whole."""
        return tuple(Slice(file) for file in self.files.values())

    def groups(self, group: int) -> tuple[Slice, ...]:
        """The same row group of every file: one bucket of an exchange."""
        return tuple(Slice(file, group) for file in self.files.values())

    def total(self, note: str) -> int:
        """The sum of a count over all files."""
        return sum(int(file.notes.get("counts", {}).get(note, 0)) for file in self.files.values())

    def counts(self) -> Counter[str]:
        """All counts, summed."""
        summed: Counter[str] = Counter()
        for file in self.files.values():
            summed.update(file.notes.get("counts", {}))
        return summed
