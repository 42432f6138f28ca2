"""Finished files of a phase: by an index once the phase is complete, by their footers before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.pipeline.store import storage
from tamis.pipeline.tables import file_columns, part_files, paths, writing
from tamis.pipeline.tables.file_columns import FileColumns, Ints
from tamis.pipeline.tables.part_files import DamagedTableError, TableFile
from tamis.pipeline.tasks import sources
from tamis.pipeline.tasks.phase import Fingerprints
from tamis.pipeline.tasks.sources import INDEX
from tamis.pipeline.tasks.task import WHOLES

TASK_FILE = re.compile(rf"([a-z]+(-\d{{3,}})+|{'|'.join(sorted(WHOLES))})\.parquet")
"""Names of tasks' files: only such are ever removed."""

FOOTERS = 16
"""Footers read at once."""

ABSENT = -1

Mask = npt.NDArray[np.bool_]


class Records:
    """The files of a phase's tasks, as far as they are known: found ones in columns, new ones one by one."""

    def __init__(self, folder: str, names: Sequence[str]) -> None:
        self.folder, self.names = folder, names
        self._columns: list[FileColumns] = []
        self._new: dict[int, TableFile] = {}
        self._source = np.full(len(names), ABSENT, np.int64)
        self._at = np.zeros(len(names), np.int64)

    @property
    def missing(self) -> Ints:
        """Positions of the tasks whose file is not known, ascending."""
        return np.flatnonzero(self._source == ABSENT)

    def add(self, files: FileColumns, tasks: Ints, at: Ints) -> None:
        """Say that the files of ``tasks`` are the records ``at`` of ``files``."""
        self._source[tasks], self._at[tasks] = len(self._columns), at
        self._columns.append(files)

    def set(self, task: int, file: TableFile) -> None:
        """Say that the file of a task is ``file``."""
        self._new[task] = file
        self._source[task] = 0  # known; where it lies is settled by ``columns``

    def file(self, task: int) -> TableFile:
        """The file of a task, which is known."""
        if task in self._new:
            return self._new[task]
        return self._columns[int(self._source[task])].file(int(self._at[task]))

    def foreign(self) -> list[tuple[int, TableFile]]:
        """The tasks whose file lies in another run, and that file."""
        return [(task, file) for task, file in self._new.items() if storage.is_absolute(file.path)]

    def drop(self, tasks: Ints) -> None:
        """Forget the files of ``tasks``."""
        self._source[tasks] = ABSENT
        for task in tasks.tolist():
            self._new.pop(task, None)

    def columns(self) -> FileColumns:
        """All records, in the order of the tasks; none may be missing."""
        assert not len(self.missing), f"{self.folder}: {len(self.missing)} files are missing"
        new = sorted(self._new)
        fresh = FileColumns.of(
            self.folder, [self.names[task] for task in new], [self._new[task] for task in new]
        )
        if len(new) == len(self.names):
            return fresh
        starts = np.cumsum([0, *(len(files) for files in self._columns)])
        at = starts[self._source] + self._at
        at[new] = starts[-1] + np.arange(len(new))
        every = file_columns.concat([*self._columns, fresh] if new else self._columns)
        every = replace(every, folder=self.folder)
        straight = len(at) == len(every) and bool((at == np.arange(len(at))).all())
        return every if straight else every.take(at)


class PhaseFiles:
    """The folder of one phase.

    The index exists only while every file that it names stands as it says: it is removed before the first file is
    touched, and written after the last. So a complete phase costs one small read and one listing.
    """

    def __init__(
        self, root: str, folder: str, base: str | None = None, writable: bool = True
    ) -> None:
        """``base``: a finished run whose files are taken where they fit; they stay where they are.

        ``writable``: whether the folder may be changed.
        """
        self._root, self._folder, self._writable = root, folder, writable
        self._base = PhaseFiles(base, folder, writable=False) if base else None
        self._path = storage.join(root, folder)
        self._listings: dict[str, dict[str, int]] = {}
        self._sizes: dict[str, int] | None = None  # of the folder, until it changes
        self._index: FileColumns | None = None

    def find(self, names: Sequence[str], fingerprints: Fingerprints) -> Records:
        """The present files that have the fingerprints of these tasks."""
        records = Records(self._folder, names)
        self._find(records, fingerprints)
        if self._base is not None and len(records.missing):
            self._from_base(self._base, records, fingerprints)
        return records

    @property
    def is_cleared(self) -> bool:
        """Whether `tamis clean` has removed the tables. Their records stand, in the index."""
        return paths.CLEARED in self._listed() and self._index is not None

    def _find(self, records: Records, fingerprints: Fingerprints) -> None:
        if self.is_cleared:
            self._find_cleared(records, fingerprints)
            return
        sizes = self._listed()
        present = np.array([sizes.get(f"{name}.parquet", -1) for name in records.names], np.int64)
        if not (present >= 0).any():
            return
        index = self._index
        if index is not None:
            positions = index.positions
            at = np.array([positions.get(name, ABSENT) for name in records.names], np.int64)
            listed = np.flatnonzero((at != ABSENT) & (present >= 0))
            fits = self._fits(index, at[listed], fingerprints[listed], present[listed])
            records.add(index, listed[fits], at[listed][fits])
            unlisted = np.flatnonzero((at == ABSENT) & (present >= 0))
        else:
            unlisted = np.flatnonzero(present >= 0)
        # After a kill every footer is a request: one at a time, a large phase would take hours.
        paths = [f"{self._folder}/{records.names[task]}.parquet" for task in unlisted.tolist()]
        with ThreadPoolExecutor(FOOTERS) as pool:
            footers = pool.map(
                lambda pair: part_files.inspect(self._root, *pair),
                zip(paths, present[unlisted].tolist(), strict=True),
            )
            found = [(task, file) for task, file in zip(unlisted, footers, strict=True) if file]
        for task, file in found:
            wanted = fingerprints[task].tobytes().hex()
            if file.fingerprint == wanted and self._outputs_stand(file.notes.get("outputs", ())):
                records.set(int(task), file)

    def _find_cleared(self, records: Records, fingerprints: Fingerprints) -> None:
        """Add all records, or none: a phase of which one table is to be made has none of the others."""
        index = self._index
        assert index is not None
        positions = index.positions
        at = np.array([positions.get(name, ABSENT) for name in records.names], np.int64)
        if (at != ABSENT).all() and (index.fingerprints[at] == fingerprints).all():
            records.add(index, np.arange(len(at)), at)

    def _fits(self, index: FileColumns, at: Ints, fingerprints: Fingerprints, sizes: Ints) -> Mask:
        """Whether the records ``at`` have these fingerprints and sizes, and their outputs stand."""
        same = (index.fingerprints[at] == fingerprints).all(axis=1) & (index.bytes[at] == sizes)
        receipts = dict(index.noted("outputs"))
        if receipts:
            for i in np.flatnonzero(same).tolist():
                same[i] = self._outputs_stand(receipts.get(int(at[i]), ()))
        result: Mask = same
        return result

    def _from_base(self, base: PhaseFiles, records: Records, fingerprints: Fingerprints) -> None:
        """Add fitting files of the base, without receipts: their outputs lie elsewhere."""
        tasks = records.missing
        found = base.find([records.names[task] for task in tasks], fingerprints[tasks])
        known = np.setdiff1d(np.arange(len(tasks)), found.missing)
        for position in known.tolist():
            file = found.file(position)
            if "outputs" not in file.notes:
                records.set(int(tasks[position]), part_files.absolute(base._root, file))

    def adopt(self, records: Records) -> None:
        """Copy the base's files here; a file whose copy is damaged is forgotten, or that the base lacks."""
        foreign = records.foreign()
        if self._base is None or not foreign:
            return
        if self._base.is_cleared:
            records.drop(np.array([task for task, _ in foreign]))
            return
        self.invalidate()
        with ThreadPoolExecutor(FOOTERS) as pool:
            copies = pool.map(lambda pair: self._copy(records.names[pair[0]], pair[1]), foreign)
            for (task, _), copy in zip(foreign, copies, strict=True):
                if copy is None:
                    records.drop(np.array([task]))
                else:
                    records.set(task, copy)

    def _copy(self, name: str, file: TableFile) -> TableFile | None:
        path = f"{self._folder}/{name}.parquet"
        storage.copy(file.path, storage.join(self._root, path))
        copy = replace(file, path=path)
        return copy if part_files.is_sound(self._root, copy) else None

    def _outputs_stand(self, outputs: Iterable[Mapping[str, Any]]) -> bool:
        """Whether all outputs that a receipt names are present at their noted sizes."""
        for output in outputs:
            folder, _, name = output["path"].rpartition("/")
            if folder not in self._listings:
                path = storage.join(self._root, folder) if folder else self._root
                self._listings[folder] = storage.listing(path)
            if self._listings[folder].get(name) != output["bytes"]:
                return False
        return True

    def _listed(self) -> dict[str, int]:
        """Sizes by name; reads the index as well, and removes one that is damaged."""
        if self._sizes is None:
            self._sizes = storage.listing(self._path)
            if INDEX in self._sizes:
                self._index = read_index(self._root, self._folder)
                if self._index is None and self._writable:
                    storage.delete(storage.join(self._path, INDEX))
        return self._sizes

    def invalidate(self) -> None:
        """Remove the index: the phase's files are about to change."""
        for name in (INDEX, paths.CLEARED):
            storage.delete(storage.join(self._path, name))
        self._sizes = self._index = None

    def commit(self, files: FileColumns) -> None:
        """Write the index of the complete phase if it has changed, and remove files of no task."""
        sizes = self._listed()
        wanted = {INDEX, *(f"{name}.parquet" for name in files.names.to_pylist())}
        stale = [name for name in sizes if name not in wanted and TASK_FILE.fullmatch(name)]
        if stale or self._index is None or self._index.digest != files.digest:
            self.invalidate()
            storage.clear_partial(self._path)
            for name in stale:
                storage.delete(storage.join(self._path, name))
            path = f"{self._folder}/{INDEX}"
            writing.write(self._root, path, files.digest, [files.to_table()], dict)
        sources.keep_index(self._root, files)


def read_index(root: str, folder: str) -> FileColumns | None:
    """The index in a phase's folder; None where it is damaged."""
    try:
        return FileColumns.from_table(folder, part_files.read_file(root, f"{folder}/{INDEX}"))
    except DamagedTableError:
        return None


def remove_damaged(root: str, table: str) -> str:
    """Remove a table that a task could not read, so that the next walk makes it again; what there is to say of it."""
    folder = table.rpartition("/")[0]
    files = PhaseFiles(root, folder)
    was_cleared = files.is_cleared
    storage.delete(storage.join(root, table))
    files.invalidate()
    if was_cleared:
        return f"{folder} is made again, for a task reads it: `tamis clean` removed it"
    return f"{table} is damaged: it is made again"
