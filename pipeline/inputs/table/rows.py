"""The rows of a table in text as rows of the ingest table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import IO, Any

from tamis.pipeline.inputs import captions, inner_fields, partitions, picture_paths
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet.batches import key_of, sha256_of, side_of
from tamis.pipeline.inputs.part_builder import (
    FileTotals,
    IngestOptions,
    Row,
    damage_row,
    fault,
)
from tamis.pipeline.inputs.table.records import Record
from tamis.pipeline.inputs.table.syntax import Fields, Syntax, fields_of, opened
from tamis.pipeline.inputs.uids import hash_uid, own_uids
from tamis.pipeline.store import storage
from tamis.schemas.ledger import Reason


class _Hashing:
    """A stream whose bytes are counted and hashed as they are read, each once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._at, self.size, self._digest = stream, 0, 0, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._digest.update(memoryview(data)[self.size - self._at :])
        self._at += len(data)
        self.size = max(self.size, self._at)
        return data

    def seek(self, place: int) -> int:
        """Go back to what has been read."""
        self._at = self._stream.seek(place)
        return self._at

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()


@dataclass(frozen=True)
class Table:
    """A table, how it is written, and the column that names pictures; None where none does."""

    file: InputFile
    syntax: Syntax
    picture: str | None
    options: IngestOptions


def rows(table: Table, totals: FileTotals) -> Iterator[Row]:
    """A row for each record, by the job one for each of its captions."""
    numbers = count()
    with opened(table.file.path) as raw:
        stream = _Hashing(raw)
        records = table.syntax.records(stream, table.options.max_meta_bytes)  # type: ignore[arg-type]
        for number, record in enumerate(records):
            for row in _of_record(table, record, number, numbers):
                yield row | {"file_row": number}
        while stream.read(storage.READ_BLOCK):
            pass
    totals.size, totals.sha256 = stream.size, stream.sha256


def damaged(file: InputFile, totals: FileTotals, message: str) -> Row:
    """The one row of a file that has no header."""
    with opened(file.path) as raw:
        stream = _Hashing(raw)
        while stream.read(storage.READ_BLOCK):
            pass
    totals.size, totals.sha256 = stream.size, stream.sha256
    return damage_row(file, Reason.UNREADABLE_FILE, message)


def _of_record(table: Table, record: Record, number: int, numbers: Iterator[int]) -> Iterator[Row]:
    file, options = table.file, table.options
    place: Row = {
        "image_offset": record.offset,
        "group_row": record.size,
        "members": [{"suffix": "row", "offset": record.offset, "size": record.size}],
    }
    try:
        fields = fields_of(record, table.syntax, options.max_meta_bytes)
    except ValueError as error:
        next(numbers)
        row = damage_row(file, Reason.UNREADABLE_ROW, str(error), record.offset)
        yield row | place
        return
    row = _facts(file, fields, number) | place
    picture = None
    for which, caption in enumerate(_captions(table, fields, record.offset)):
        name = next(numbers)
        if picture is None or not options.opens_all:  # else another caption of the same picture
            picture = _picture(table, fields, record.offset, name)
        uid = {"uid": captions.caption_uid(file, row["uid"], which)}
        # Of several faults a missing picture counts first, then the caption's, then another of the picture's.
        first = picture if picture.get("reason") == Reason.MISSING_IMAGE else {}
        yield row | picture | uid | caption | first


def _facts(file: InputFile, fields: Fields, number: int) -> Row:
    """A row's values beside picture and caption."""
    named = {name: captions.field(fields, name, file.reading) for name in ("uid", "key", "url")}
    uid = None
    if file.own_uids:
        (uid,) = own_uids([named["uid"]], f"`{storage.redact(file.path)}`: row {number:,}")
    url = named["url"] if isinstance(named["url"], str) and captions.is_text(named["url"]) else None
    bounded, complaint = captions.bounded_url(url)
    key = key_of(named["key"], number)
    return {
        "uid": uid or hash_uid(file.entry, file.relative, "row", key, number),
        "key": key,
        "url": bounded,
        "meta": json.dumps(fields),
        "message": complaint or None,
    }


def _captions(table: Table, fields: Fields, offset: int) -> list[Row]:
    reading = table.file.reading
    if reading.captions == "none":
        return [{}]
    told = {**partitions.captions(table.file), **fields}
    column, value = captions.found_field(told, "text", reading)
    try:
        found = captions.texts_of(value, reading, column or "text")
    except ValueError as error:
        return [fault(Reason.BAD_CAPTION, str(error), offset)]
    return [captions.judge_caption(text, offset, table.options) for text in found]


def _picture(table: Table, fields: Fields, offset: int, number: int) -> Row:
    """The columns of a row's picture; of a table without pictures what its columns say of them."""
    file = table.file
    if table.picture is None:
        sides = {
            name: _number(captions.field(fields, name, file.reading))
            for name in ("width", "height")
        }
        digest = sha256_of(captions.field(fields, "sha256", file.reading))
        return {name: side_of(value) for name, value in sides.items()} | {"sha256": digest}
    path = inner_fields.field_of(fields, table.picture)
    return picture_paths.row_of(file, path, offset, number, table.options)


def _number(value: Any) -> Any:
    """A side that stands in a cell of text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value
