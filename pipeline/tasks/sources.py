"""Sources of a task: row groups of a finished phase's files.

A task's description says where the row groups lie that it reads: one (``Slice``) or one for each of some parts
(``PartSlices``). Where every file of a phase has one for it, it says only which phase (``Gathered``), and the worker
looks them up in the phase's index. Most tasks are found done by the digests of what they read: chosen parts
(``SomeParts``) are described only when a task is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.pipeline.store.recent import Recent
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.file_columns import Digests, FileColumns, Ints, digest_of
from tamis.pipeline.tables.part_files import DamagedTableError, Slice

INDEX = "_index.parquet"
"""The file in a complete phase's folder that lists its tables."""

INDICES = 8
"""Indices that a process keeps."""

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class PartSlices:
    """One row group for each of some parts."""

    folder: str  # with its slash; empty where the files lie in several
    names: tuple[str, ...]  # of the files, without their ending
    bytes: Ints  # by file
    groups: Numbers  # by file: how many it has
    file: npt.NDArray[np.integer]  # by part: the position of its file
    group: Numbers  # by part
    digests: Digests  # by part
    rows_of: Numbers  # by part

    def __len__(self) -> int:
        return len(self.rows_of)

    @property
    def rows(self) -> int:
        """Of all of them."""
        return int(self.rows_of.sum())

    @property
    def identity(self) -> str:
        """Digest of all of them."""
        return digest_of([self.digests])

    def __getitem__(self, position: int) -> Slice:
        """The slice of the part at ``position``."""
        file = int(self.file[position])
        return Slice(
            f"{self.folder}{self.names[file]}.parquet",
            int(self.bytes[file]),
            f"{int(self.digests[position]):016x}",
            int(self.rows_of[position]),
            int(self.group[position]),
            int(self.groups[file]),
        )


@dataclass(frozen=True)
class ByPart:
    """One row group for each part of the run, somewhere in the files of a finished phase."""

    files: FileColumns
    file: Numbers  # (parts,) the position of the part's file
    group: Numbers  # (parts,)

    def __post_init__(self) -> None:
        at = self.files.starts[self.file] + self.group
        object.__setattr__(self, "digests", self.files.digests[at])
        object.__setattr__(self, "rows", self.files.rows[at])

    digests: Digests = None  # type: ignore[assignment]  # (parts,), set from the files
    rows: Ints = None  # type: ignore[assignment]  # (parts,), set from the files

    def __getitem__(self, part: int) -> Slice:
        """The slice of one part."""
        return self.files.slice(int(self.file[part]), int(self.group[part]))

    def span(self, first: int, stop: int) -> PartSlices:
        """The slices of the parts from ``first`` to before ``stop``."""
        return self.slices(np.arange(first, stop))

    def slices(self, parts: npt.NDArray[np.int64]) -> PartSlices:
        """The slices of some parts."""
        files, of_part = _distinct(self.file[parts])
        narrow = np.uint16 if len(files) < 1 << 16 else np.int32
        folder, names = self.files.located(files.tolist())
        return PartSlices(
            folder,
            tuple(names),
            self.files.bytes[files],
            self.files.groups(files).astype(np.int32),
            of_part.astype(narrow),
            self.group[parts],
            self.digests[parts],
            self.rows[parts].astype(np.int32),
        )


@dataclass(frozen=True, eq=False)
class SomeParts:
    """One row group for each of some parts of a table, as the driver knows them; sent to a worker it is PartSlices."""

    table: ByPart
    parts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def rows(self) -> int:
        """Of all of them."""
        return int(self.table.rows[self.parts].sum())

    @property
    def identity(self) -> str:
        """Digest of all of them."""
        return digest_of([self.table.digests[self.parts]])

    def __getitem__(self, position: int) -> Slice:
        """The slice of the part at ``position``."""
        return self.table[int(self.parts[position])]

    def __reduce__(self) -> tuple[Any, ...]:
        described = self.table.slices(self.parts)
        return PartSlices, tuple(getattr(described, field.name) for field in fields(described))


def _distinct(files: Numbers) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """The result of ``np.unique``, with the inverse. Parts in order have files in order, which need no sorting."""
    changes = files[1:] != files[:-1]
    if not changes.any():
        return files[:1], np.zeros(len(files), np.int64)
    if not (files[1:] >= files[:-1]).all():
        return np.unique(files, return_inverse=True)
    if changes.all():
        return files, np.arange(len(files))
    return files[np.concatenate([FIRST, changes])], np.concatenate([ZERO, np.cumsum(changes)])


FIRST, ZERO = np.ones(1, dtype=bool), np.zeros(1, np.int64)


@dataclass(frozen=True)
class Gathered:
    """The same row group of many files of a finished phase, or with None all of them."""

    folder: str
    index: str  # the digest of the phase's index
    identity: str  # digest of the slices' bytes, in hex
    rows: int
    group: int | None = None
    first: int = 0  # the position of the first file
    stop: int | None = None  # the position behind the last

    def slices(self, root: str) -> Iterator[Slice]:
        """A slice of each file, in their order."""
        files = read_index(root, self.folder, self.index)
        for position in range(len(files))[self.first : self.stop]:
            if self.group is not None:
                yield files.slice(position, self.group)
            else:
                yield files.file(position).slice()


Source = Slice | Gathered | PartSlices | SomeParts


def gathered(
    files: FileColumns, group: int | None = None, first: int = 0, stop: int | None = None
) -> Gathered:
    """One row group of every file from ``first`` to before ``stop``, or with None all of them."""
    span = slice(first, len(files) if stop is None else stop)
    starts, ends = files.starts[span], files.ends[span]
    if group is not None:
        digests, rows = files.digests[starts + group], files.rows[starts + group]
    elif len(starts):
        whole = slice(int(starts[0]), int(ends[-1]))
        digests, rows = files.digests[whole], files.rows[whole]
    else:
        digests, rows = files.digests[:0], files.rows[:0]
    identity = digest_of([digests, (ends - starts).astype(np.uint64)])
    return Gathered(files.folder, files.digest, identity, int(rows.sum()), group, first, stop)


_indices: Recent[tuple[str, str, str], FileColumns] = Recent(INDICES)


def read_index(root: str, folder: str, digest: str) -> FileColumns:
    """The index of a phase, whose records have ``digest``; kept by the process between tasks.

    Raises:
        DamagedTableError: it is damaged or missing, or another one.
    """
    key = (root, folder, digest)
    files = _indices.get(key)
    if files is None:
        path = f"{folder}/{INDEX}"
        files = FileColumns.from_table(folder, part_files.read_file(root, path))
        if files.digest != digest:
            raise DamagedTableError(path, "it is not the index that this task was made from")
        _indices.keep(key, files)
    return files


def keep_index(root: str, files: FileColumns) -> None:
    """Keep an index that this process has written, or knows."""
    _indices.keep((root, files.folder, files.digest), files)


def slices(root: str, sources: Sequence[Source]) -> Iterator[Slice]:
    """The slices of some sources, one after another."""
    for source in sources:
        if isinstance(source, Slice):
            yield source
        elif isinstance(source, PartSlices | SomeParts):
            yield from (source[position] for position in range(len(source)))
        else:
            yield from source.slices(root)
