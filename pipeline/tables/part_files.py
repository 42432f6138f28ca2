"""Part files: parquet tables that appear whole or not at all, with a fingerprint of what they were made from.

A file's footer holds its *fingerprint* (of everything that determined it) and a digest of each row group's
bytes. The digests, not the fingerprints, enter the fingerprints of files made from this one: a part that
stays the same after a change of threshold leaves everything below it valid.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import CONTENT, require_content
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.store.recent import Recent
from tamis.pipeline.tables import paths
from tamis.schemas.errors import StateError

METADATA_KEY = b"tamis"
SEAL_BYTES = 16
MAGIC = b"PAR1"
DIGEST_BLOCK = 1 << 20

MANY_GROUPS = 16
"""Row groups of a file from which its footer is cached: to parse it takes a good part of the time to read one."""

FOOTER_BYTES = 12 << 20
"""Bytes of the footers that a process caches: those of an index of 10,000,000 vectors, or of a dozen exchanges."""

OPEN_FILES = 48
"""Files that ``kept_open`` holds open: more than the tables that a bundle reads of each of its parts."""

DAMAGE = (*CONTENT, UnicodeDecodeError)
"""Errors of pyarrow on damaged bytes, once ``require_content`` has looked at them."""


class DamagedTableError(Exception):
    """A part file is damaged: its bytes are not those that were written. It has to be made again."""

    def __init__(self, path: str, why: object) -> None:
        super().__init__(path, str(why))
        self.path = path


def damage_error(path: str, why: object = "") -> StateError:
    """The error for a damaged file of a run that the command only reads."""
    if storage.exists(storage.join(storage.parent(path), paths.CLEARED)):
        return StateError(
            f"{storage.redact(storage.parent(path))}: `tamis clean` has removed these tables, and this needs them: "
            "`tamis run` with the setting in question makes them again"
        )
    cause = " ".join(str(why).split())
    return StateError(
        f"{storage.redact(path)} is damaged{f' ({cause})' if cause else ''}: remove it, and `tamis run` with that "
        "run's job.yaml makes it again"
    )


def joined_digest(groups: Sequence[str]) -> str:
    """Digest of a file from those of its row groups."""
    return xxhash.xxh3_64_hexdigest("".join(groups).encode())


@dataclass(frozen=True, slots=True)
class TableFile:
    """A finished part file: its path below the run directory, and the digests and rows of its row groups."""

    path: str
    fingerprint: str
    groups: tuple[str, ...]
    rows: tuple[int, ...]
    bytes: int
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of all row groups."""
        return joined_digest(self.groups)

    @property
    def written(self) -> int:
        """Bytes of the table, and of the result's files that its notes list."""
        return self.bytes + sum(int(output["bytes"]) for output in self.notes.get("outputs", ()))

    def slice(self, group: int | None = None) -> Slice:
        """One of its row groups; with None all of it."""
        if group is None:
            identity, rows = self.digest, sum(self.rows)
        else:
            identity, rows = self.groups[group], self.rows[group]
        return Slice(self.path, self.bytes, identity, rows, group, len(self.groups))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the footer."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> TableFile:
        """The inverse of ``to_json``."""
        return cls(**{**raw, "groups": tuple(raw["groups"]), "rows": tuple(raw["rows"])})


@dataclass(frozen=True, slots=True)
class Slice:
    """A row group of a part file, or with None all of it: a task's unit of reading. Knows nothing of other groups."""

    path: str  # below the run directory, or absolute
    bytes: int  # of the file
    identity: str  # digest of the slice's bytes, in hex
    rows: int
    group: int | None = None
    groups: int = 1  # of the file


def columns_of(schema: pa.Schema) -> list[str]:
    """Names and types, as a footer's record has them."""
    return [f"{field.name}: {field.type}" for field in schema]


def _record(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any] | None:
    """The record in a footer's metadata; None if it is missing or damaged."""
    sealed = (metadata or {}).get(METADATA_KEY, b"")
    seal, text = sealed[:SEAL_BYTES], sealed[SEAL_BYTES:]
    if xxhash.xxh3_64_hexdigest(text).encode() != seal:
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def inspect(root: str, path: str, size: int) -> TableFile | None:
    """The record in the footer of a file of ``size`` bytes; None if the file is damaged or no part file."""
    try:
        with storage.open_table(storage.join(root, path), size) as raw:
            record = _record(pq.read_metadata(raw).metadata)
    except DAMAGE as error:
        require_content(error, path)
        return None
    if record is None:
        return None
    del record["schema"]
    return replace(TableFile.from_json(record), bytes=size)


def is_sound(root: str, file: TableFile) -> bool:
    """Whether the bytes of every row group have the digests in ``file``. Reads the whole file, a block at a time."""
    path = path_of(root, file.path)
    try:
        with storage.open_table(path, file.bytes) as raw:
            metadata = pq.read_metadata(raw)
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        # Column chunks follow one another without gaps, behind the file's magic bytes.
        sizes = [
            sum(group.column(i).total_compressed_size for i in range(group.num_columns))
            for group in groups
        ]
        sizes[:1] = [size + len(MAGIC) for size in sizes[:1]]
        with storage.open_read(path) as raw:
            return tuple(_digest(raw, size) for size in sizes) == file.groups
    except DAMAGE as error:
        require_content(error, path)
        return False


def _digest(raw: BinaryIO, size: int) -> str:
    digest = xxhash.xxh3_64()
    while size > 0 and (block := raw.read(min(size, DIGEST_BLOCK))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def absolute(root: str, file: TableFile) -> TableFile:
    """The same file with an absolute path, to be read from any run directory."""
    return replace(file, path=storage.join(root, file.path))


def path_of(root: str, path: str) -> str:
    """Absolute path of a table: below ``root``, unless ``path`` is absolute."""
    return path if storage.is_absolute(path) else storage.join(root, path)


class _Footer(NamedTuple):
    """A file's footer, read and checked."""

    metadata: pq.FileMetaData
    groups: Sequence[str]
    rows: Sequence[int]

    def fits(self, piece: Slice) -> bool:
        """Whether the file holds the bytes that ``piece`` names."""
        if not piece.identity:
            return True
        if piece.group is None:
            return joined_digest(self.groups) == piece.identity
        return piece.group < len(self.groups) and self.groups[piece.group] == piece.identity


@dataclass(frozen=True, slots=True)
class _OpenFile(AbstractContextManager["_OpenFile"]):
    """A part file that is open for reading."""

    raw: BinaryIO
    file: ParquetFile
    footer: _Footer

    def close(self) -> None:
        try:
            self.file.close()
        finally:
            self.raw.close()

    def __exit__(self, *_: object) -> None:
        self.close()


_footers: Recent[tuple[str, int], _Footer] = Recent(
    FOOTER_BYTES, lambda one: int(one.metadata.serialized_size)
)
"""By absolute path and size; a footer that does not fit what is asked for is read again."""

_kept: OrderedDict[str, _OpenFile] | None = None
"""Open files, within ``kept_open``."""


@contextmanager
def kept_open() -> Iterator[None]:
    """Keep files open between reads: for a task that reads one row group after another of the same files."""
    global _kept  # noqa: PLW0603 - a process works for one task at a time
    assert _kept is None, "a process works for one task at a time"
    _kept = OrderedDict()
    try:
        yield
    finally:
        held, _kept = _kept, None  # first: to close one may fail, and the process goes on
        with ExitStack() as closing:
            for opened in held.values():
                closing.callback(opened.close)


def read(root: str, piece: Slice, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a slice, page checksums verified.

    Raises:
        DamagedTableError: the bytes do not fit their checksums or the slice's digest, or the file is missing or cut
            short.
    """
    groups = None if piece.group is None else [piece.group]
    return _checked(root, piece, groups, columns)


def read_groups(
    root: str, pieces: Sequence[Slice], columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of several row groups of one file, in the order of ``pieces``.

    Raises:
        DamagedTableError: as ``read``.
    """
    groups = [piece.group for piece in pieces]
    return _checked(root, pieces[0], [group for group in groups if group is not None], columns)


def read_file(root: str, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of the part file at ``path``, whatever its digests.

    Raises:
        DamagedTableError: as ``read``.
    """
    return _checked(root, Slice(path, 0, "", 0), None, columns)


def _checked(
    root: str, piece: Slice, groups: Sequence[int] | None, columns: Sequence[str] | None
) -> pa.Table:
    path = path_of(root, piece.path)
    try:
        with _opened(path, piece) as opened:
            footer = opened.footer
            table = opened.file.read_row_groups(
                range(len(footer.groups)) if groups is None else groups, columns
            )
            wanted = footer.rows if groups is None else [footer.rows[group] for group in groups]
    except DAMAGE as error:
        require_content(error, path)
        raise DamagedTableError(piece.path, error) from error
    if table.num_rows != sum(wanted):
        raise DamagedTableError(piece.path, f"{table.num_rows} of {sum(wanted)} rows")
    return table


@contextmanager
def _opened(path: str, piece: Slice) -> Iterator[_OpenFile]:
    """The file that ``piece`` names, open for reading.

    Raises:
        DamagedTableError: it does not fit.
    """
    held = _kept.get(path) if _kept is not None else None
    if held is not None and held.footer.fits(piece):
        yield held
        return
    opened = _open(path, piece)
    if _kept is not None:
        _keep(_kept, path, opened)
        yield opened
        return
    with opened:
        yield opened


def _keep(kept: OrderedDict[str, _OpenFile], path: str, opened: _OpenFile) -> None:
    for last in [path] if path in kept else list(kept)[: len(kept) + 1 - OPEN_FILES]:
        kept.pop(last).close()
    kept[path] = opened


def _open(path: str, piece: Slice) -> _OpenFile:
    """The file, open, with the footer that the process has cached of it or its own.

    Raises:
        DamagedTableError: its footer is damaged, or it is not the file that ``piece`` names.
    """
    known = _footers.get((path, piece.bytes))
    if known is not None and not known.fits(piece):
        known = None
    pieces = 1 if piece.group is None else piece.groups
    raw = storage.open_table(path, piece.bytes or None, pieces)
    try:
        file = ParquetFile(raw, known.metadata if known else None)
        footer = known or _footer(file, piece)
    except BaseException:
        raw.close()
        raise
    if known is None and len(footer.groups) >= MANY_GROUPS:
        _footers.keep((path, piece.bytes), footer)
    return _OpenFile(raw, file, footer)


def _footer(file: ParquetFile, piece: Slice) -> _Footer:
    record = _record(file.metadata.metadata)
    if record is None or record["schema"] != columns_of(file.schema_arrow):
        raise DamagedTableError(piece.path, "its footer is damaged")
    footer = _Footer(file.metadata, record["groups"], record["rows"])
    if not footer.fits(piece):
        raise DamagedTableError(piece.path, "it is not the file that was written here")
    return footer


def concat(root: str, pieces: Iterable[Slice], columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of several slices, in the order of ``pieces``."""
    return pa.concat_tables([read(root, piece, columns) for piece in pieces])
