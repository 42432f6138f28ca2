"""Part files: parquet tables that appear whole or not at all and know what they were made from.

A file's footer holds its *fingerprint* (of everything that determined it) and a digest of each row group's
bytes. The digests, not the fingerprints, enter the fingerprints of what is made from the file: a part that
comes out the same after a change of threshold leaves everything below it valid.
"""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tamis.pipeline.store import storage
from tamis.pipeline.store.digesting import DigestingFile
from tamis.schemas.errors import StateError

METADATA_KEY = b"tamis"
SEAL_BYTES = 16
MAGIC = b"PAR1"
DIGEST_BLOCK = 1 << 20

MANY_GROUPS = 64
"""Row groups of a file whose footer takes longer to parse than one of them takes to read: it is kept."""

FOOTERS = 12
"""Such footers that a process keeps: about as many as the files that a task of the last steps reads a part of."""

DAMAGE = (OSError, pa.ArrowException, UnicodeDecodeError)
"""What pyarrow raises on bytes that are not what was written."""


class DamagedTableError(Exception):
    """A part file's bytes are not what was written. It is to be made again."""

    def __init__(self, path: str, why: object) -> None:
        super().__init__(path, str(why))
        self.path = path


def damaged(path: str, why: object = "") -> StateError:
    """What is said of a damaged file of a finished run that is only read: it is not ours to make again."""
    told = " ".join(str(why).split())
    return StateError(
        f"{storage.redact(path)} is damaged{f' ({told})' if told else ''}: remove it, and `tamis run` with that "
        "run's job.yaml makes it again"
    )


@dataclass(frozen=True, slots=True)
class TableFile:
    """A finished part file. ``path`` is relative to the run directory; ``groups`` are its row groups' digests."""

    path: str
    fingerprint: str
    groups: tuple[str, ...]
    rows: tuple[int, ...]
    bytes: int
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of all row groups."""
        return xxhash.xxh3_64_hexdigest("".join(self.groups).encode())

    @property
    def written(self) -> int:
        """Bytes of the table, and of the result's files that it is the receipt of."""
        return self.bytes + sum(int(output["bytes"]) for output in self.notes.get("outputs", ()))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the index of a phase."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> TableFile:
        """The inverse of ``to_json``."""
        return cls(**{**raw, "groups": tuple(raw["groups"]), "rows": tuple(raw["rows"])})


@dataclass(frozen=True, slots=True)
class Slice:
    """What a task reads of a file: one row group, or all of it."""

    file: TableFile
    group: int | None = None

    @property
    def identity(self) -> str:
        """The digest of the bytes that it stands for."""
        return self.file.digest if self.group is None else self.file.groups[self.group]

    @property
    def rows(self) -> int:
        """Rows in it."""
        return sum(self.file.rows) if self.group is None else self.file.rows[self.group]


def write(
    root: str,
    path: str,
    fingerprint: str,
    groups: Iterable[pa.Table],
    notes: Callable[[], Mapping[str, Any]],
) -> TableFile:
    """Write one row group for each table of ``groups``; ``notes`` is asked when all are made.

    Raises:
        ValueError: ``groups`` is empty: a part without rows is a table without rows, not nothing.
    """
    with storage.write_atomic(storage.join(root, path)) as raw:
        out = DigestingFile(raw, xxhash.xxh3_64())
        try:
            made = _write_groups(out, TableFile(path, fingerprint, (), (), 0), groups, notes)
        except BaseException:
            out.abandon()
            raise
    return replace(made, bytes=out.written)


def _write_groups(
    out: DigestingFile,
    file: TableFile,
    groups: Iterable[pa.Table],
    notes: Callable[[], Mapping[str, Any]],
) -> TableFile:
    digests: list[str] = []
    rows: list[int] = []
    described: list[str] = []
    sink = pa.PythonFile(out, mode="w")
    writer: pq.ParquetWriter | None = None
    for table in groups:
        if writer is None:
            writer, described = _writer(sink, table.schema), _read_back(table.schema)
        writer.write_table(table, row_group_size=max(1, table.num_rows))
        digests.append(out.take_digest(xxhash.xxh3_64()))
        rows.append(table.num_rows)
    if writer is None:
        raise ValueError(f"{file.path}: no row group was given")
    made = replace(file, groups=tuple(digests), rows=tuple(rows), notes=dict(notes()))
    writer.add_key_value_metadata({METADATA_KEY: _seal({**made.to_json(), "schema": described})})
    writer.close()
    sink.close()
    return made


def _writer(sink: pa.NativeFile, schema: pa.Schema) -> pq.ParquetWriter:
    # Numbers that are all different gain nothing from a dictionary; embeddings lose 30 times in speed.
    # A uint64 is a hash.
    plain = [
        f.name
        for f in schema
        if pa.types.is_fixed_size_binary(f.type)
        or pa.types.is_floating(f.type)
        or pa.types.is_uint64(f.type)
    ]
    return pq.ParquetWriter(
        sink,
        schema,
        compression={f.name: "none" if f.name in plain else "zstd" for f in schema},
        use_dictionary=[f.name for f in schema if f.name not in plain] or False,
        write_page_checksum=True,
        store_schema=True,
    )


@lru_cache(maxsize=64)
def _read_back(schema: pa.Schema) -> list[str]:
    """How the schema is described once it has been through a file; nested fields may be renamed there."""
    buffer = io.BytesIO()
    pq.write_table(schema.empty_table(), buffer, store_schema=True)
    return _described(pq.read_schema(buffer))


def _described(schema: pa.Schema) -> list[str]:
    return [f"{field.name}: {field.type}" for field in schema]


def _seal(record: Mapping[str, Any]) -> str:
    """A footer has no checksum of its own: the record carries one, and the schema once more."""
    text = json.dumps(record, sort_keys=True)
    return xxhash.xxh3_64_hexdigest(text.encode()) + text


def _record(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any] | None:
    """The record in a footer's metadata; None where it is missing or not what was written."""
    sealed = (metadata or {}).get(METADATA_KEY, b"")
    seal, text = sealed[:SEAL_BYTES], sealed[SEAL_BYTES:]
    if xxhash.xxh3_64_hexdigest(text).encode() != seal:
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def inspect(root: str, path: str, size: int) -> TableFile | None:
    """The record in a file's footer; None where the file is damaged or not ours."""
    try:
        with storage.open_table(storage.join(root, path), size) as raw:
            record = _record(pq.read_metadata(raw).metadata)
    except DAMAGE:
        return None
    if record is None:
        return None
    del record["schema"]
    return replace(TableFile.from_json(record), bytes=size)


def is_sound(root: str, file: TableFile) -> bool:
    """Whether the bytes of every row group have the digests that ``file`` records. Reads all, a block at a time."""
    path = located(root, file)
    try:
        with storage.open_table(path, file.bytes) as raw:
            metadata = pq.read_metadata(raw)
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        # Column chunks follow one another without gaps; the file's mark stands before the first.
        sizes = [
            sum(group.column(i).total_compressed_size for i in range(group.num_columns))
            for group in groups
        ]
        sizes[:1] = [size + len(MAGIC) for size in sizes[:1]]
        with storage.open_read(path) as raw:
            return tuple(_digest(raw, size) for size in sizes) == file.groups
    except DAMAGE:
        return False


def _digest(raw: BinaryIO, size: int) -> str:
    found = xxhash.xxh3_64()
    while size > 0 and (block := raw.read(min(size, DIGEST_BLOCK))):
        found.update(block)
        size -= len(block)
    return found.hexdigest()


def at(root: str, file: TableFile) -> TableFile:
    """The same file, to be read from whichever run directory: its path is whole."""
    return replace(file, path=storage.join(root, file.path))


def located(root: str, file: TableFile) -> str:
    """Where a file lies: below ``root``, unless its path is whole."""
    return file.path if storage.is_absolute(file.path) else storage.join(root, file.path)


Footer = tuple[str, str, tuple[str, ...]]
"""Whose it is: a path, and the fingerprint and the digests of what is to lie there."""

_footers: OrderedDict[Footer, pq.FileMetaData] = OrderedDict()


def _keep(of: Footer, footer: pq.FileMetaData) -> None:
    _footers[of] = footer
    _footers.move_to_end(of)
    while len(_footers) > FOOTERS:
        _footers.popitem(last=False)


def read(root: str, piece: Slice, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a slice, page checksums verified.

    Raises:
        DamagedTableError: the bytes do not fit their checksums, or the file is gone or cut short.
    """
    return read_groups(root, piece.file, None if piece.group is None else [piece.group], columns)


def read_groups(
    root: str,
    record: TableFile,
    groups: Sequence[int] | None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """The same of some row groups of a file, one after another; of all with None.

    Raises:
        DamagedTableError: see ``read``.
    """
    path = located(root, record)
    pieces = 1 if groups is None else len(record.groups)
    of = (path, record.fingerprint, record.groups)
    try:
        with (
            storage.open_table(path, record.bytes, pieces) as raw,
            # On a store neighbouring column chunks are worth one request; on a disk they are not.
            pq.ParquetFile(
                raw,
                metadata=_footers.get(of),
                page_checksum_verification=True,
                pre_buffer=not storage.is_local(path),
            ) as file,
        ):
            table = _read(file, groups, columns)
            if pieces >= MANY_GROUPS:
                _keep(of, file.metadata)
    except DAMAGE as error:
        raise DamagedTableError(record.path, error) from error
    if table is None:
        raise DamagedTableError(record.path, "its footer is not what was written")
    return table


def _read(
    file: pq.ParquetFile, groups: Sequence[int] | None, columns: Sequence[str] | None
) -> pa.Table | None:
    record = _record(file.metadata.metadata)
    if record is None or record["schema"] != _described(file.schema_arrow):
        return None
    chosen = list(columns) if columns is not None else None
    if groups is None:
        table, rows = file.read(columns=chosen, use_threads=False), sum(record["rows"])
    else:
        table = file.read_row_groups(list(groups), columns=chosen, use_threads=False)
        rows = sum(record["rows"][group] for group in groups)
    return table if table.num_rows == rows else None


def concat(root: str, pieces: Sequence[Slice], columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of several slices, one after another."""
    return pa.concat_tables([read(root, piece, columns) for piece in pieces])
