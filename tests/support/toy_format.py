"""An input format made by the recipe in CONTRIBUTING.md: lines of JSON with a key, a caption and a picture in base64.

Whatever else stands in a line is a column of the input.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs import captions, columns
from tamis.pipeline.inputs.formats import Format, Outline, Sample, check_same
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import (
    FileTotals,
    IngestOptions,
    Row,
    Section,
    damage_row,
    fault,
    picture_row,
)
from tamis.pipeline.inputs.uids import hash_uid, own_uids
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tamis.schemas.ledger import Reason
from tests.support import running

NAME, ADDRESS = "base64", "tests.support.toy_format:BASE64"


def write(path: Path, samples: Iterable[running.Sample]) -> None:
    """A file of these samples."""
    lines = (
        {
            "key": sample.key,
            "caption": sample.text,
            "image": base64.b64encode(sample.image).decode(),
            **sample.fields,
        }
        for sample in samples
    )
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


class Base64(Format):
    """A row is a line: ``image_offset`` is its first byte, ``group_row`` its length."""

    endings = (".b64",)
    values_in_table = True

    def outline(self, file: InputFile) -> Outline:
        """Nothing: a file has no header."""
        del file
        return Outline()

    def columns(self, file: InputFile) -> columns.Columns:
        """The keys of the first hundred lines."""
        with storage.open_read(file.path) as stream:
            parsed = [_parsed(line) for line in islice(_lines(stream), 100)]
        return columns.of_json(found[0] for found in parsed if found is not None)

    def walk(
        self, file: InputFile, options: IngestOptions, totals: FileTotals
    ) -> Iterator[Section]:
        """A row a line, whatever stands in it."""
        yield Section(0, _rows(file, options, totals))

    def pictures(self, file: InputFile, rows: pa.Table) -> Iterator[bytes]:
        """A line at a time."""
        places = zip(
            *(rows[name].to_pylist() for name in ("image_offset", "group_row")), strict=True
        )
        for place, known in zip(places, rows["sha256"].to_pylist(), strict=True):
            (line,) = storage.read_blocks(file.path, [place])
            found = _parsed(bytes(line))
            data = b"" if found is None else found[1]
            check_same(file, [data], [known])
            yield data

    def members(self, file: InputFile, rows: pa.Table) -> Iterator[Sample]:
        """Picture and caption."""
        named = zip(rows["image_format"].to_pylist(), rows["text"].to_pylist(), strict=True)
        for data, (form, text) in zip(self.pictures(file, rows), named, strict=True):
            yield [(form, data), ("txt", text.encode())]

    def values(
        self, file: InputFile, rows: pa.Table, wanted: Mapping[str, pa.DataType]
    ) -> dict[str, pa.Array]:
        """From the table: the line without its picture stands there."""
        del file
        return columns.from_json(rows["meta"].to_pylist(), wanted)

    def where(self, read: Mapping[str, Any]) -> str | None:
        """As an editor counts."""
        return f"line {read['file_row'] + 1:,}" if "file_row" in read else None


def _lines(stream: Any) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(storage.READ_BLOCK):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


def _parsed(line: bytes) -> tuple[dict[str, Any], bytes] | None:
    """(fields, picture) of a line; None where it is no such object."""
    try:
        fields = json.loads(line)
        picture = base64.b64decode(fields.pop("image"), validate=True)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return fields, picture


def _rows(file: InputFile, options: IngestOptions, totals: FileTotals) -> Iterator[Row]:
    try:
        stream = storage.open_read(file.path)
    except FileNotFoundError:
        raise InputError(f"`{storage.redact(file.path)}` is not there any more") from None
    digest, offset = hashlib.sha256(), 0
    with stream:
        for number, line in enumerate(_lines(stream)):
            yield _row(file, options, line, number, offset)
            digest.update(line)
            offset += len(line)
    totals.size, totals.sha256 = offset, digest.digest()


def _row(file: InputFile, options: IngestOptions, line: bytes, number: int, offset: int) -> Row:
    found = _parsed(line)
    if found is None:
        message = "the line is no JSON object with a picture in base64"
        return damage_row(file, Reason.UNREADABLE_ROW, message, offset)
    fields, picture = found
    key = captions.field_text(fields, "key") or str(number)
    (uid,) = own_uids([captions.field(fields, "uid")], file.path)
    row: Row = {
        "uid": uid or hash_uid(file.entry, file.relative, "row", key, number),
        "key": key,
        "url": captions.field_text(fields, "url"),
        "image_offset": offset,
        "group_row": len(line),
        "file_row": number,
        "members": [{"suffix": "json", "offset": offset, "size": len(line)}],
        "meta": json.dumps(fields),
    }
    caption = fields.get("caption")
    judged = captions.judge_caption(caption if isinstance(caption, str) else None, offset, options)
    return row | _picture(picture, number, offset, options) | judged


def _picture(picture: bytes, number: int, offset: int, options: IngestOptions) -> Row:
    if len(picture) > options.max_member_bytes:
        message = f"{len(picture)} bytes: the limit is {options.max_member_bytes}"
        return fault(Reason.MEMBER_TOO_LARGE, message, offset)
    return picture_row(picture, offset, number, options)


BASE64 = Base64()
