"""Finished files of a phase: by an index once the phase is complete, by their footers before."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import xxhash

from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks.task import WHOLES

if TYPE_CHECKING:
    from tamis.pipeline.tasks.perform import Work

INDEX = "_phase.json"

TASK_FILE = re.compile(rf"([a-z]+(-\d{{3,}})+|{'|'.join(sorted(WHOLES))})\.parquet")
"""Names of tasks' files: only such are ever removed."""

FOOTERS = 16
"""Footers read at once."""


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

    def find(self, works: Sequence[Work]) -> dict[str, TableFile]:
        """The present files that have the fingerprints of these tasks, by task name."""
        sizes = self._sizes()
        index = self._index(sizes)
        present = [work for work in works if f"{work.name}.parquet" in sizes]
        unlisted = [work for work in present if work.name not in index]
        # After a kill every footer is a request: one at a time, a large phase would take hours.
        with ThreadPoolExecutor(FOOTERS) as pool:
            footers = pool.map(lambda work: self._footer(work, sizes), unlisted)
            records = index | {
                work.name: file for work, file in zip(unlisted, footers, strict=True) if file
            }
        files: dict[str, TableFile] = {}
        for work in present:
            file = records.get(work.name)
            if (
                file
                and file.fingerprint == work.fingerprint
                and file.bytes == sizes[f"{work.name}.parquet"]
                and self._outputs_stand(file)
            ):
                files[work.name] = file
        return files | self._from_base([work for work in works if work.name not in files])

    def _from_base(self, works: Sequence[Work]) -> dict[str, TableFile]:
        """Fitting files of the base, without receipts: their outputs lie elsewhere."""
        if self._base is None or not works:
            return {}
        files = self._base.find(works)
        return {
            name: part_files.absolute(self._base._root, file)  # noqa: SLF001 - of the same class
            for name, file in files.items()
            if "outputs" not in file.notes
        }

    def adopt(self, files: Mapping[str, TableFile]) -> dict[str, TableFile]:
        """``files`` with the base's files copied here; a file whose copy is damaged is left out."""
        if self._base is None:
            return dict(files)
        foreign = [name for name, file in files.items() if storage.is_absolute(file.path)]
        if foreign:
            self.invalidate()
        with ThreadPoolExecutor(FOOTERS) as pool:
            copies = pool.map(lambda name: self._copy(name, files[name]), foreign)
            copied = dict(zip(foreign, copies, strict=True))
        every = {name: copied.get(name, file) for name, file in files.items()}
        return {name: file for name, file in every.items() if file is not None}

    def _copy(self, name: str, file: TableFile) -> TableFile | None:
        path = f"{self._folder}/{name}.parquet"
        storage.copy(file.path, storage.join(self._root, path))
        copy = replace(file, path=path)
        return copy if part_files.is_sound(self._root, copy) else None

    def _footer(self, work: Work, sizes: Mapping[str, int]) -> TableFile | None:
        return part_files.inspect(self._root, work.path, sizes[f"{work.name}.parquet"])

    def _outputs_stand(self, file: TableFile) -> bool:
        """Whether all outputs that a receipt names are present at their noted sizes."""
        for output in file.notes.get("outputs", ()):
            folder, _, name = output["path"].rpartition("/")
            if folder not in self._listings:
                path = storage.join(self._root, folder) if folder else self._root
                self._listings[folder] = storage.listing(path)
            if self._listings[folder].get(name) != output["bytes"]:
                return False
        return True

    def _sizes(self) -> dict[str, int]:
        return storage.listing(self._path)

    def _index(self, sizes: Mapping[str, int]) -> dict[str, TableFile]:
        """The sound entries of the index, by task; an index with a damaged entry is removed."""
        if INDEX not in sizes:
            return {}
        files = read_index(self._path)
        sound = {name: file for name, file in files.items() if file is not None}
        if len(sound) < len(files) and self._writable:
            self.invalidate()
        return sound

    def invalidate(self) -> None:
        """Remove the index: the phase's files are about to change."""
        storage.delete(storage.join(self._path, INDEX))

    def commit(self, names: Sequence[str], files: Mapping[str, TableFile]) -> None:
        """Write the index of the complete phase if it has changed, and remove files of no task."""
        text = json.dumps(
            {name: _seal(files[name]) for name in names}, indent=0, sort_keys=True
        ).encode()
        sizes = self._sizes()
        wanted = {INDEX, *(f"{name}.parquet" for name in names)}
        stale = [name for name in sizes if name not in wanted and TASK_FILE.fullmatch(name)]
        if stale or sizes.get(INDEX) != len(text):
            self.invalidate()
            storage.clear_partial(self._path)
            for name in stale:
                storage.delete(storage.join(self._path, name))
            storage.write_bytes(storage.join(self._path, INDEX), text)


def read_index(path: str) -> dict[str, TableFile | None]:
    """The entries of the index in a phase's folder, by task; None for a damaged one."""
    try:
        raw = json.loads(storage.read_bytes(storage.join(path, INDEX)))
        return {name: _unseal(file) for name, file in raw.items()}
    except (ValueError, AttributeError):
        return {"": None}


def _seal(file: TableFile) -> dict[str, Any]:
    """A file's entry in the index, with a checksum of itself."""
    entry = file.to_json()
    return {**entry, "seal": xxhash.xxh3_64_hexdigest(json.dumps(entry, sort_keys=True).encode())}


def _unseal(entry: dict[str, Any]) -> TableFile | None:
    """The inverse; None where the entry is not what was written."""
    plain = {name: value for name, value in entry.items() if name != "seal"}
    seal = xxhash.xxh3_64_hexdigest(json.dumps(plain, sort_keys=True).encode())
    return TableFile.from_json(plain) if seal == entry.get("seal") else None
