"""The records of a phase's files as columns: a hundred bytes a file, and sixteen a row group."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import numbers
from tamis.pipeline.tables.part_files import Slice, TableFile

Ints = npt.NDArray[np.int64]
Digests = npt.NDArray[np.uint64]

FINGERPRINT_BYTES = 16

NO_COUNTS = '"counts":{}'
"""The notes of a file that has counted nothing, as ``dump_notes`` writes them."""


@dataclass(frozen=True)
class FileColumns:
    """Files of one folder, in the order of their tasks.

    ``ends`` says where the row groups of each file end in ``digests`` and ``rows``. A file that stays in another run
    has its folder there in ``folders``, all others an empty text.
    """

    folder: str  # below the run directory
    names: pa.StringArray  # of the tasks
    fingerprints: npt.NDArray[np.uint8]  # (n, 16)
    bytes: Ints
    ends: Ints
    digests: Digests
    rows: Ints
    notes: pa.LargeStringArray  # JSON
    folders: pa.DictionaryArray

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, folder: str, names: Sequence[str], files: Sequence[TableFile]) -> FileColumns:
        """The columns of some records; ``names`` are those of their tasks."""
        digests = bytes.fromhex("".join(group for file in files for group in file.groups))
        prints = bytes.fromhex("".join(file.fingerprint for file in files))
        own = storage.is_absolute
        return cls(
            folder,
            pa.array(names, pa.string()),
            np.frombuffer(prints, np.uint8).reshape(len(files), FINGERPRINT_BYTES),
            np.array([file.bytes for file in files], np.int64),
            np.cumsum([len(file.groups) for file in files], dtype=np.int64),
            np.frombuffer(digests, ">u8").astype(np.uint64),
            np.array([count for file in files for count in file.rows], np.int64),
            pa.array([dump_notes(file.notes) for file in files], pa.large_string()),
            pa.array(
                [file.path.rpartition("/")[0] if own(file.path) else "" for file in files],
                pa.string(),
            ).dictionary_encode(),
        )

    @cached_property
    def starts(self) -> Ints:
        """The position of the first row group of each file."""
        return np.concatenate([np.zeros(1, np.int64), self.ends[:-1]])

    def groups(self, positions: npt.NDArray[np.integer[Any]]) -> Ints:
        """The number of row groups of some files."""
        counts: Ints = self.ends[positions] - self.starts[positions]
        return counts

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """The position of each task's file, by the task's name."""
        return {name: position for position, name in enumerate(self.names.to_pylist())}

    @cached_property
    def digest(self) -> str:
        """Digest of all records, in hex."""
        state = xxhash.xxh3_128()
        for texts in (self.names, self.notes, self.folders):
            ends, data = _text_buffers(texts)
            state.update(ends.tobytes())
            state.update(data)
        for column in (self.fingerprints, self.bytes, self.ends, self.digests, self.rows):
            state.update(np.ascontiguousarray(column).tobytes())
        return str(state.hexdigest())

    def path(self, position: int) -> str:
        """A file's path: below the run directory, or absolute."""
        folder = self.folders[position].as_py() or self.folder
        return f"{folder}/{self.names[position].as_py()}.parquet"

    def located(self, positions: Sequence[int]) -> tuple[str, list[str]]:
        """The folder of some files, with its slash, and their names below it without their ending.

        The folder is empty where the files lie in several.
        """
        if not positions:
            return "", []
        if self._all_here:
            first, count = positions[0], len(positions)
            if positions[-1] - first == count - 1:  # neighbours, as a rule
                return f"{self.folder}/", self.names.slice(first, count).to_pylist()
            return f"{self.folder}/", [self.names[position].as_py() for position in positions]
        paths = [self.path(position).removesuffix(".parquet") for position in positions]
        found = {path.rpartition("/")[0] for path in paths}
        folder = f"{found.pop()}/" if len(found) == 1 else ""
        return folder, [path.removeprefix(folder) for path in paths]

    @cached_property
    def _all_here(self) -> bool:
        """Whether no file stays in another run."""
        return not any(self.folders.dictionary.to_pylist())

    def fingerprint(self, position: int) -> str:
        """A file's fingerprint, in hex."""
        return str(self.fingerprints[position].tobytes().hex())

    def note(self, position: int) -> dict[str, Any]:
        """A file's notes."""
        notes: dict[str, Any] = json.loads(self.notes[position].as_py())
        return notes

    def all_notes(self) -> Iterator[dict[str, Any]]:
        """The notes of each file."""
        for batch in range(0, len(self), 4096):
            for text in self.notes.slice(batch, 4096).to_pylist():
                yield json.loads(text)

    def counted_notes(self) -> Iterator[dict[str, Any]]:
        """The notes of each file that has counted something."""
        nothing = pc.match_substring(self.notes, NO_COUNTS)
        for text in self.notes.filter(pc.invert(nothing)).to_pylist():
            notes = json.loads(text)
            if notes.get("counts"):
                yield notes

    def noted(self, name: str) -> Iterator[tuple[int, Any]]:
        """The position of each file that has a note of that name, and the note."""
        if not len(self):
            return
        named = pc.indices_nonzero(pc.match_substring(self.notes, f'"{name}":'))
        for position, text in zip(
            named.to_pylist(), self.notes.take(named).to_pylist(), strict=True
        ):
            notes = json.loads(text)
            if name in notes:
                yield position, notes[name]

    def noted_numbers(self, name: str) -> Ints:
        """A note that every file has, a whole number, (n,); no file's notes are parsed."""
        found = pc.extract_regex(self.notes, rf'"{name}":(?P<number>\d+)')
        return numbers(pc.struct_field(found, "number").cast(pa.int64()))

    def file(self, position: int) -> TableFile:
        """One record."""
        groups = slice(int(self.starts[position]), int(self.ends[position]))
        return TableFile(
            self.path(position),
            self.fingerprint(position),
            tuple(f"{digest:016x}" for digest in self.digests[groups].tolist()),
            tuple(self.rows[groups].tolist()),
            int(self.bytes[position]),
            self.note(position),
        )

    def slice(self, position: int, group: int) -> Slice:
        """One row group of one file."""
        start, end = int(self.starts[position]), int(self.ends[position])
        return Slice(
            self.path(position),
            int(self.bytes[position]),
            f"{int(self.digests[start + group]):016x}",
            int(self.rows[start + group]),
            group,
            end - start,
        )

    def take(self, positions: Ints) -> FileColumns:
        """The records at ``positions``, in that order."""
        counts = self.groups(positions)
        ends = np.cumsum(counts)
        groups = np.repeat(self.starts[positions] - ends + counts, counts) + np.arange(
            int(ends[-1]) if len(ends) else 0
        )
        picks = pa.array(positions)
        return FileColumns(
            self.folder,
            self.names.take(picks),
            self.fingerprints[positions],
            self.bytes[positions],
            ends,
            self.digests[groups],
            self.rows[groups],
            self.notes.take(picks),
            self.folders.take(picks),
        )

    def to_table(self) -> pa.Table:
        """A row a file."""
        counts = (self.ends - self.starts).astype(np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), self.ends])
        return pa.table(
            {
                "name": self.names,
                "fingerprint": pa.FixedSizeBinaryArray.from_buffers(
                    pa.binary(FINGERPRINT_BYTES),
                    len(self),
                    [None, pa.py_buffer(np.ascontiguousarray(self.fingerprints).tobytes())],
                ),
                "bytes": self.bytes,
                "groups": counts,
                "digests": _binary(self.digests.astype("<u8"), offsets),
                "rows": _binary(self.rows.astype("<i8"), offsets),
                "notes": self.notes,
                "folder": self.folders.cast(pa.string()),
            }
        )

    @classmethod
    def from_table(cls, folder: str, table: pa.Table) -> FileColumns:
        """The inverse of ``to_table``."""
        table = table.combine_chunks()
        # Neither pa.array() nor to_numpy(): they import pandas where it is installed, for which `explain` would wait.
        columns = {
            name: column.chunk(0) if column.num_chunks else pa.nulls(0, column.type)
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
        prints = np.frombuffer(columns["fingerprint"].buffers()[1] or b"", np.uint8)
        return cls(
            folder,
            columns["name"],
            prints.reshape(-1, FINGERPRINT_BYTES)[: table.num_rows],
            numbers(columns["bytes"]),
            np.cumsum(numbers(columns["groups"]), dtype=np.int64),
            _numbers(columns["digests"], "<u8").astype(np.uint64),
            _numbers(columns["rows"], "<i8").astype(np.int64),
            columns["notes"],
            columns["folder"].dictionary_encode(),
        )


def concat(pieces: Sequence[FileColumns]) -> FileColumns:
    """All records of ``pieces``, at least one, of one folder."""
    if len(pieces) == 1:
        return pieces[0]
    base = np.cumsum([0, *(len(piece.digests) for piece in pieces[:-1])])
    return FileColumns(
        pieces[0].folder,
        pa.concat_arrays([piece.names for piece in pieces]),
        np.concatenate([piece.fingerprints for piece in pieces]),
        np.concatenate([piece.bytes for piece in pieces]),
        np.concatenate([piece.ends + at for piece, at in zip(pieces, base, strict=True)]),
        np.concatenate([piece.digests for piece in pieces]),
        np.concatenate([piece.rows for piece in pieces]),
        pa.concat_arrays([piece.notes for piece in pieces]),
        pa.concat_arrays([piece.folders.cast(pa.string()) for piece in pieces]).dictionary_encode(),
    )


def dump_notes(notes: Mapping[str, Any]) -> str:
    """Notes as one line of JSON."""
    return json.dumps(notes, sort_keys=True, separators=(",", ":"))


def digest_of(digests: Iterable[Digests]) -> str:
    """Digest of some row groups together, in hex."""
    state = xxhash.xxh3_64()
    for array in digests:
        state.update(np.ascontiguousarray(array).tobytes())
    return str(state.hexdigest())


def _text_buffers(texts: pa.Array) -> tuple[Ints, pa.Buffer]:
    """The end of each text, and all texts one after another; the same however the array came about."""
    plain = texts.cast(pa.large_string())
    _, offsets, data = plain.buffers()
    if not len(plain):
        return np.zeros(0, np.int64), pa.py_buffer(b"")
    ends = np.frombuffer(offsets, np.int64)[plain.offset :][: len(plain) + 1]
    first, last = int(ends[0]), int(ends[-1])
    return ends[1:] - first, (data or pa.py_buffer(b"")).slice(first, last - first)


def _binary(numbers: npt.NDArray[Any], offsets: Ints) -> pa.LargeBinaryArray:
    """Each file's numbers as raw bytes."""
    ends = (offsets * numbers.itemsize).astype(np.int64)
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(),
        len(offsets) - 1,
        [None, pa.py_buffer(ends), pa.py_buffer(numbers.tobytes())],
    )


def _numbers(column: pa.LargeBinaryArray, kind: str) -> npt.NDArray[Any]:
    """The inverse of ``_binary``."""
    data = column.buffers()[2]
    return np.frombuffer(data if data is not None else b"", kind)
