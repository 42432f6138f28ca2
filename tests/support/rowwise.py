"""Metadata in parquet read a row at a time: what ``pipeline.inputs.parquet.batches`` must come to, batch by batch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs import part_builder
from tamis.pipeline.inputs.captions import judge_caption
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet import file as parquet
from tamis.pipeline.inputs.part_builder import IngestOptions, Row
from tamis.schemas.tables import INGEST


def tables(source: InputFile, options: IngestOptions) -> list[pa.Table]:
    """The parts of a file that has no pictures and can be opened."""
    parts: list[pa.Table] = []
    part: list[Row] = []
    characters = 0

    def end() -> None:
        nonlocal characters
        if part:
            columns = {name: [row.get(name) for row in part] for name in INGEST.names}
            parts.append(pa.Table.from_pydict(columns, INGEST))
        part.clear()
        characters = 0

    with parquet.open_parquet(source.path) as file:
        first = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if len(part) + size > options.part_samples:
                end()
            for row in _group(source, options, file, group, first, size):
                part.append(row)
                texts = ("text", "key", "url", "message")
                characters += sum(len((row.get(name) or "").encode()) for name in texts)
                if len(part) >= options.part_samples or characters >= part_builder.MAX_PART_BYTES:
                    end()
            first += size
    end()
    return parts


def _group(
    source: InputFile, options: IngestOptions, file: Any, group: int, first: int, size: int
) -> Iterator[Row]:
    columns = parquet.find_columns(file.schema_arrow, options, source.path)
    message = "the row group has fewer rows than the footer says"
    done = 0
    try:
        # As ingest does before it asks for more: of several broken columns, the rows asked for decide which is named.
        next(file.iter_batches(1, [group], columns.wanted), None)
        for batch in file.iter_batches(
            parquet.BATCH_ROWS, row_groups=[group], columns=columns.wanted
        ):
            for row in _batch(source, options, columns, batch, first + done):
                yield {"row_group": group, "group_row": done} | row
                done += 1
    except parquet.BROKEN as error:
        message = re.sub(r"0x[0-9a-f]+", "0x...", " ".join(str(error).split()))
    for place in range(done, size):
        number = first + place
        yield {
            "uid": hash_uid(source, str(number), number),
            "key": str(number),
            "row_group": group,
            "group_row": place,
            "file_row": number,
            "reason": "unreadable_row",
            "message": f"row group {group}: {message}",
        }


def _batch(
    source: InputFile, options: IngestOptions, columns: Any, batch: pa.RecordBatch, first: int
) -> Iterator[Row]:
    names = ("text", "url", "uid", "key", "width", "height", "sha256")
    cells = {name: _cells(batch, getattr(columns, name)) for name in names}
    for i in range(batch.num_rows):
        cell = {name: values[i] for name, values in cells.items()}
        key = _key(cell["key"], first + i)
        row: Row = {
            "uid": hash_uid(source, key, first + i),
            "key": key,
            "url": cell["url"] if isinstance(cell["url"], str) else None,
            "file_row": first + i,
        }
        size = len((row["url"] or "").encode())
        if size > part_builder.MAX_URL_BYTES:
            said = f"the url is left out: {len(cell['url'])} characters, the limit is 65536 bytes"
            row |= {"url": None, "message": said}
        for name in ("width", "height"):
            if isinstance(cell[name], int | float) and 0 < cell[name] < 2**31:
                row[name] = int(cell[name])
        if isinstance(cell["sha256"], str) and re.fullmatch(r"[0-9a-fA-F]{64}", cell["sha256"]):
            row["sha256"] = bytes.fromhex(cell["sha256"])
        yield row | _caption(cell["text"], options)


def _cells(batch: pa.RecordBatch, name: str | None) -> list[Any]:
    """Python values, text and bytes alike; what is text, but no UTF-8, is bytes."""
    if name is None:
        return [None] * batch.num_rows
    column = batch.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if not (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    ):
        return list(column.to_pylist())
    values = column.cast(pa.large_binary()).to_pylist()
    for place, value in enumerate(values):
        if value is not None:
            with suppress(UnicodeDecodeError):
                values[place] = value.decode()
    return list(values)


def _key(value: object, number: int) -> str:
    if isinstance(value, str):
        return value if len(value) <= part_builder.MAX_KEY_BYTES else str(number)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(number)
    return str(value) if isinstance(value, int) else str(number)


def hash_uid(source: InputFile, key: str, number: int) -> bytes:
    """BLAKE2b over the fields of a row's uid, one after another."""
    digest = hashlib.blake2b(digest_size=16)
    for field in (source.entry, source.relative, "row", key, str(number)):
        digest.update(len(field.encode()).to_bytes(4, "little"))
        digest.update(field.encode())
    return digest.digest()


def _caption(value: object, options: IngestOptions) -> Row:
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            message = f"not UTF-8: {error.reason} at byte {error.start}"
            return {"reason": "bad_caption", "message": message}
    return judge_caption(value if isinstance(value, str) else None, None, options)
