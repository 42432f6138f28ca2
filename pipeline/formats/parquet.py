"""Parquet of image-text pairs: LAION, DataComp, img2dataset, and files that hold the pictures too.

Columns are found by alias. Where the format leaves room:

- A key that repeats is no fault here: a row is whole by itself. Its number in the file, not the key's
  occurrence, goes into the hashed uid, so that nothing grows with the file.
- A picture that is only a path is missing: no path out of an input is ever opened.
- A row group that cannot be read on gives a row for each of its rows that was not yet read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.formats.captions import is_text, judge_caption
from pipeline.formats.rows import (
    FileTotals,
    IngestOptions,
    Row,
    Run,
    damage_row,
    fault,
    picture_row,
)
from pipeline.formats.sources import Source
from pipeline.formats.tar import Damage
from pipeline.formats.uids import hash_uid, parse_uid
from schemas.errors import InputError
from schemas.ledger import Reason
from schemas.tables import find_column

BATCH_ROWS = 1024
BATCH_ROWS_WITH_PICTURES = 32
READ_BUFFER = 1 << 20
"""Bytes of a column that are read at a time: a column chunk is never held whole."""

BROKEN = (OSError, pa.ArrowException, ValueError, OverflowError)
"""What pyarrow raises on a damaged file."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The input's own names for what ingest reads; None for what it does not have."""

    text: str | None
    image: str | None
    url: str | None
    uid: str | None
    key: str | None
    width: str | None
    height: str | None
    sha256: str | None
    nested: bool = False

    @property
    def wanted(self) -> list[str]:
        """The columns to read, once each; of a ``{bytes, path}`` picture the bytes alone."""
        image = f"{self.image}.bytes" if self.nested else self.image
        names = (self.text, image, self.url, self.uid, self.key)
        more = () if self.image else (self.width, self.height, self.sha256)
        return [*dict.fromkeys(name for name in (*names, *more) if name is not None)]


class _Parquet(pq.ParquetFile):  # type: ignore[misc]  # pyarrow is untyped
    """Takes the file below along when it is closed, which pyarrow leaves open."""

    def close(self, force: bool = True) -> None:
        super().close(force)


def open_parquet(path: str) -> pq.ParquetFile:
    """A parquet file that is read in small pieces, page checksums verified; close it."""
    raw = storage.open_table(path)
    try:
        return _Parquet(
            raw, buffer_size=READ_BUFFER, pre_buffer=False, page_checksum_verification=True
        )
    except BROKEN:
        raw.close()
        raise


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def _is_string(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def find_columns(schema: pa.Schema, options: IngestOptions, path: str) -> Columns:
    """Which column is what.

    Raises:
        InputError: a column that is needed is missing, or is of a type that
            cannot hold it; the message lists the columns that are there.
    """
    found: dict[str, str | None] = {}
    for name in ("text", "image", "url", "uid", "key", "width", "height", "sha256"):
        column = find_column(name, schema.names)
        if schema.names.count(column) > 1:
            raise InputError(f"`{storage.redact(path)}` has more than one column `{column}`")
        if column is None and name in options.need:
            there = ", ".join(f"{field.name} ({field.type})" for field in schema)
            raise InputError(f"`{storage.redact(path)}` has no column for `{name}`; it has {there}")
        found[name] = column
    if found["text"] is not None:
        kind = schema.field(found["text"]).type
        _expect(_is_string(kind) or _is_bytes(kind), path, found["text"], kind, "captions are text")
    nested = False
    if found["image"] is not None:
        kind = schema.field(found["image"]).type
        nested = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        flat = kind.field("bytes").type if nested else kind
        _expect(_is_bytes(flat), path, found["image"], kind, "pictures are bytes or {bytes, path}")
    return Columns(**found, nested=nested)


def _expect(fits: bool, path: str, column: str, kind: pa.DataType, rule: str) -> None:
    if not fits and not pa.types.is_null(kind):  # a column of nulls alone has no type of its own
        raise InputError(
            f"`{storage.redact(path)}`: the column `{column}` is of type {kind}, but {rule}"
        )


def hash_file(path: str) -> tuple[int, bytes]:
    """Size in bytes and SHA-256 of a file, read once."""
    digest = hashlib.sha256()
    size = 0
    with storage.open_read(path) as stream:
        while chunk := stream.read(storage.READ_BLOCK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.digest()


def runs(source: Source, options: IngestOptions, totals: FileTotals) -> Iterator[Run]:
    """The rows of a file, a run a row group.

    Raises:
        InputError: the file is not there, or lacks a column (``find_columns``).
    """
    try:
        totals.size, totals.sha256 = hash_file(source.path)
    except FileNotFoundError:
        raise InputError(f"`{storage.redact(source.path)}` is not there any more") from None
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_parquet(source.path))
            schema = file.schema_arrow
            _check_footer(file.metadata)
        except BROKEN as error:
            damage = Damage(Reason.UNREADABLE_FILE, 0, totals.size, _words(error))
            yield Run(1, iter([damage_row(source, damage)]))
            return
        reader = _Reader(source, options, file, find_columns(schema, options, source.path))
        first = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            yield Run(size, _group_rows(reader, group, first, size))
            first += size


def _check_footer(metadata: pq.FileMetaData) -> None:
    """A damaged footer can claim any number of rows; ValueError where its numbers contradict."""
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    if min(sizes, default=0) < 0 or sum(sizes) != metadata.num_rows:
        raise ValueError(f"the footer counts {metadata.num_rows} rows, its row groups {sum(sizes)}")


def _words(error: BaseException) -> str:
    """An error's message without addresses in memory, in one line."""
    return re.sub(r"0x[0-9a-f]+", "0x...", " ".join(str(error).split()))


@dataclass(frozen=True, slots=True)
class _Reader:
    source: Source
    options: IngestOptions
    file: pq.ParquetFile
    columns: Columns


def _group_rows(reader: _Reader, group: int, first: int, size: int) -> Iterator[Row]:
    """The rows of one row group; ``first`` is the number in the file of its first row."""
    done = 0
    message = "the row group has fewer rows than the footer says"
    pictures = reader.columns.image is not None
    try:
        for batch in reader.file.iter_batches(
            batch_size=BATCH_ROWS_WITH_PICTURES if pictures else BATCH_ROWS,
            row_groups=[group],
            columns=reader.columns.wanted,
            use_threads=False,
        ):
            for row in _batch_rows(reader, batch, first + done):
                if done < size:
                    yield row | {"row_group": group, "group_row": done}
                    done += 1
    except BROKEN as error:
        message = _words(error)
    for place in range(done, size):
        number = first + place
        uid = _row_uid(reader.source, None, str(number), number)
        where = {"row_group": group, "group_row": place, "file_row": number}
        yield (
            {"uid": uid, "key": str(number)}
            | where
            | fault(Reason.UNREADABLE_ROW, f"row group {group}: {message}", None)
        )


def _row_uid(source: Source, given: object, key: str, number: int) -> bytes:
    return parse_uid(given) or hash_uid(source.entry, source.relative, "row", key, number)


def _values(batch: pa.RecordBatch, name: str | None) -> list[Any]:
    """A column as Python values; text that is not UTF-8 stays bytes."""
    if name is None or name not in batch.schema.names:
        return [None] * batch.num_rows
    column = batch.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not _is_string(column.type):
        return list(column.to_pylist())
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return [_decoded(value) for value in column.cast(pa.large_binary()).to_pylist()]
    return list(column.to_pylist())


def _decoded(value: bytes | None) -> str | bytes | None:
    try:
        return value if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def _batch_rows(reader: _Reader, batch: pa.RecordBatch, first: int) -> Iterator[Row]:
    columns = reader.columns
    lists = [_values(batch, name) for name in (columns.text, columns.url, columns.uid, columns.key)]
    facts = [_values(batch, name) for name in (columns.width, columns.height, columns.sha256)]
    images = _images(batch, columns)
    for i in range(batch.num_rows):
        text, url, uid, key = (values[i] for values in lists)
        number = first + i
        name = _key(key, number)
        row: Row = {
            "uid": _row_uid(reader.source, uid, name, number),
            "key": name,
            "url": url if isinstance(url, str) else None,
            "file_row": number,
        }
        caption = _caption(text, reader.options) if columns.text is not None else {}
        if images is None:
            yield row | _stated(*(values[i] for values in facts)) | caption
        elif images[i].is_valid:
            yield row | _picture(images[i], number, reader.options) | caption
        else:
            missing = fault(Reason.MISSING_IMAGE, "no bytes: null, or only a path", None)
            yield row | caption | missing


def _key(value: object, number: int) -> str:
    """A key as text; LAION's are whole numbers stored as doubles. Without one, the row's number."""
    if isinstance(value, str) and is_text(value):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int) else str(number)


def _stated(width: object, height: object, sha256: object) -> Row:
    """What a file without pictures says of them."""
    row: Row = {}
    for name, value in (("width", width), ("height", height)):
        if isinstance(value, int | float) and 0 < value < 2**31:
            row[name] = int(value)
    if isinstance(sha256, str) and re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        row["sha256"] = bytes.fromhex(sha256)
    return row


def _caption(value: object, options: IngestOptions) -> Row:
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            message = f"not UTF-8: {error.reason} at byte {error.start}"
            return fault(Reason.BAD_CAPTION, message, None)
    return judge_caption(value if isinstance(value, str) else None, None, options)


def _images(batch: pa.RecordBatch, columns: Columns) -> pa.Array | None:
    if columns.image is None:
        return None
    column = batch.column(columns.image)
    if columns.nested:
        column = pc.struct_field(column, "bytes")
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _picture(cell: pa.Scalar, number: int, options: IngestOptions) -> Row:
    data = memoryview(cell.as_buffer())
    if len(data) > options.max_member_bytes:
        message = f"{len(data)} bytes: the limit is {options.max_member_bytes} (max_member_bytes)"
        return fault(Reason.MEMBER_TOO_LARGE, message, None)
    return picture_row(data, None, number, options)
