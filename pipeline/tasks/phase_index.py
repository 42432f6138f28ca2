"""What of a phase is there already: an index written when the phase is complete, footers where it is not."""

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

OURS = re.compile(rf"([a-z]+(-\d{{3,}})+|{'|'.join(sorted(WHOLES))})\.parquet")
"""How tasks' files are called: only such are ever removed."""

FOOTERS = 16
"""Footers that are read at once."""


class PhaseFiles:
    """The folder of one phase.

    The index exists only while every file that it names stands as it says: it is removed before the first file is
    touched, and written after the last. So a complete phase costs one small read and one listing.
    """

    def __init__(self, root: str, folder: str, base: str | None = None, ours: bool = True) -> None:
        """``base``: a finished run whose files are taken where they fit; they stay where they are.

        ``ours``: whether anything here may be touched.
        """
        self._root, self._folder, self._ours = root, folder, ours
        self._base = PhaseFiles(base, folder, ours=False) if base else None
        self._path = storage.join(root, folder)
        self._listings: dict[str, dict[str, int]] = {}

    def find(self, works: Sequence[Work]) -> dict[str, TableFile]:
        """The files that are there and have the fingerprints that these tasks would give them."""
        sizes = self._sizes()
        index = self._index(sizes)
        there = [work for work in works if f"{work.name}.parquet" in sizes]
        unlisted = [work for work in there if work.name not in index]
        # After a kill every footer is a request: one at a time, a large phase would take hours.
        with ThreadPoolExecutor(FOOTERS) as pool:
            footers = pool.map(lambda work: self._footer(work, sizes), unlisted)
            records = index | {
                work.name: file for work, file in zip(unlisted, footers, strict=True) if file
            }
        found: dict[str, TableFile] = {}
        for work in there:
            file = records.get(work.name)
            if (
                file
                and file.fingerprint == work.fingerprint
                and file.bytes == sizes[f"{work.name}.parquet"]
                and self._outputs_stand(file)
            ):
                found[work.name] = file
        return found | self._from_base([work for work in works if work.name not in found])

    def _from_base(self, works: Sequence[Work]) -> dict[str, TableFile]:
        """Files of the base; receipts are not taken: what they speak of lies elsewhere."""
        if self._base is None or not works:
            return {}
        files = self._base.find(works)
        return {
            name: part_files.absolute(self._base._root, file)  # noqa: SLF001 - of the same class
            for name, file in files.items()
            if "outputs" not in file.notes
        }

    def adopt(self, found: Mapping[str, TableFile]) -> dict[str, TableFile]:
        """``found`` with the base's files copied here; those whose copy is not what was written are left out."""
        if self._base is None:
            return dict(found)
        foreign = [name for name, file in found.items() if storage.is_absolute(file.path)]
        if foreign:
            self.invalidate()
        with ThreadPoolExecutor(FOOTERS) as pool:
            copies = pool.map(lambda name: self._copied(name, found[name]), foreign)
            taken = dict(zip(foreign, copies, strict=True))
        every = {name: taken.get(name, file) for name, file in found.items()}
        return {name: file for name, file in every.items() if file is not None}

    def _copied(self, name: str, file: TableFile) -> TableFile | None:
        path = f"{self._folder}/{name}.parquet"
        storage.copy(file.path, storage.join(self._root, path))
        copy = replace(file, path=path)
        return copy if part_files.is_sound(self._root, copy) else None

    def _footer(self, work: Work, sizes: Mapping[str, int]) -> TableFile | None:
        return part_files.inspect(self._root, work.path, sizes[f"{work.name}.parquet"])

    def _outputs_stand(self, file: TableFile) -> bool:
        """Whether the result's files that a receipt speaks of are there, as long as they were."""
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
        """The files that the index names; what of it is damaged is left out, and the index written anew."""
        if INDEX not in sizes:
            return {}
        files = read_index(self._path)
        sound = {name: file for name, file in files.items() if file is not None}
        if len(sound) < len(files) and self._ours:
            self.invalidate()
        return sound

    def invalidate(self) -> None:
        """Remove the index: the phase's files are about to change."""
        storage.delete(storage.join(self._path, INDEX))

    def commit(self, names: Sequence[str], files: Mapping[str, TableFile]) -> None:
        """All files stand: write the index if it is not there, and remove what no task asks for any more."""
        text = json.dumps(
            {name: _seal(files[name]) for name in names}, indent=0, sort_keys=True
        ).encode()
        sizes = self._sizes()
        wanted = {INDEX, *(f"{name}.parquet" for name in names)}
        stale = [name for name in sizes if name not in wanted and OURS.fullmatch(name)]
        if stale or sizes.get(INDEX) != len(text):
            self.invalidate()
            storage.clear_partial(self._path)
            for name in stale:
                storage.delete(storage.join(self._path, name))
            storage.write_bytes(storage.join(self._path, INDEX), text)


def read_index(path: str) -> dict[str, TableFile | None]:
    """What the index of a phase's folder says, by task; None for what of it is damaged."""
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
