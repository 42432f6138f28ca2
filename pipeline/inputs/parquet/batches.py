"""The rows of a parquet file without their pictures, a record batch at a time.

Every rule is a function of one cell. Captions, which are most of a file, are first checked as a column: only doubtful
ones go through the rule one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.near_captions.folding import is_visible
from tamis.pipeline.inputs import own_values, partitions
from tamis.pipeline.inputs.captions import caption_uid, is_text, judge_caption, long_url
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet.file import Columns, is_string, is_texts
from tamis.pipeline.inputs.parquet.inner import field_of
from tamis.pipeline.inputs.parquet.views import without_views
from tamis.pipeline.inputs.part_builder import (
    MAX_KEY_BYTES,
    MAX_URL_BYTES,
    IngestOptions,
    Row,
    fault,
)
from tamis.pipeline.inputs.uids import hash_uids, own_uids
from tamis.schemas.ledger import Reason
from tamis.schemas.redaction import redact
from tamis.schemas.tables import INGEST

SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class FileLayout:
    """An input file, the meaning of its columns, and the limits of ingest."""

    file: InputFile
    options: IngestOptions
    columns: Columns


def describe(
    layout: FileLayout, batch: pa.RecordBatch, group: int, start: int, first: int
) -> pa.Table:
    """The rows of a batch as a table of schema INGEST, with nulls for facts of the pictures; by the job one for each
    of a row's captions.

    Args:
        layout: of the file of the batch.
        batch: the columns that ``Columns.stored`` names.
        group: the number of the row group of the batch.
        start: the number of its first row in the row group.
        first: the number of its first row in the file.
    """
    columns = layout.columns
    for name in columns.facts:
        if name not in batch.schema.names:
            batch = batch.append_column(name, field_of(batch, name))
    batch, origin = one_a_caption(layout, batch)
    count, numbers = batch.num_rows, (first + origin).tolist()
    values: dict[str, Any] = {
        "row_group": np.full(count, group, dtype=np.int32),
        "group_row": start + origin,
        "file_row": first + origin,
    }
    uids = None
    if columns.uid is not None and layout.file.own_uids:
        cells = cell_values(batch.column(columns.uid))
        uids = own_uids(cells, f"`{redact(layout.file.path)}`")
    values["key"] = _keys(batch, columns.key, numbers)
    values["uid"] = _of_captions(
        layout.file, _uids(layout.file, uids, values["key"], numbers), numbers
    )
    if columns.text is not None:
        values |= _captions(batch.column(columns.text), layout.options)
    else:
        for told in list(partitions.captions(layout.file).values())[:1]:
            values |= _captions(pa.array([told] * count, pa.large_string()), layout.options)
    if columns.url is not None:
        values |= _bounded(_urls(batch, columns.url), values.get("message"))
    if columns.image is None:  # else they are read from the pictures
        values["width"] = _each(batch, columns.width, side_of)
        values["height"] = _each(batch, columns.height, side_of)
        values["sha256"] = _each(batch, columns.sha256, sha256_of)
    arrays = [_array(values.get(field.name), field.type, count) for field in INGEST]
    return pa.Table.from_arrays(arrays, schema=INGEST)


def one_a_caption(
    layout: FileLayout, batch: pa.RecordBatch
) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
    """The batch with one caption a row, by the job the first of a list or each of them; and each row's number in the
    batch, ascending. Nulls in a list are no captions; a row without any stays, as one without.
    """
    name, count = layout.columns.text, batch.num_rows
    if name is None or not is_texts(batch.schema.field(name).type):
        return batch, np.arange(count)
    position = batch.schema.get_field_index(name)
    lists = batch.column(position)
    origin, texts = pc.list_parent_indices(lists).to_numpy(), pc.list_flatten(lists)
    if pa.types.is_dictionary(texts.type):
        texts = texts.dictionary_decode()
    there = np.asarray(texts.is_valid())
    origin, texts = origin[there], texts.filter(pa.array(there))
    if layout.file.reading.captions == "first":
        origin, firsts = np.unique(origin, return_index=True)
        texts = texts.take(pa.array(firsts))
    without = np.setdiff1d(np.arange(count), origin)
    order = np.argsort(np.append(origin, without), kind="stable")
    origin = np.append(origin, without)[order]
    texts = pa.concat_arrays([texts, pa.nulls(len(without), texts.type)]).take(pa.array(order))
    rows = without_views(batch).take(pa.array(origin))
    columns = [texts if n == position else rows.column(n) for n in range(rows.num_columns)]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names), origin


def _of_captions(file: InputFile, uids: list[bytes], numbers: Sequence[int]) -> list[bytes]:
    """The uids of a batch in which a row's further captions have its uid too: these get their own."""
    made, again = list(uids), 0
    for i in range(1, len(numbers)):
        again = again + 1 if numbers[i] == numbers[i - 1] else 0
        made[i] = caption_uid(file, uids[i], again)
    return made


def _array(values: Any, kind: pa.DataType, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, kind)
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def _each(batch: pa.RecordBatch, name: str | None, rule: Callable[[Any], Any]) -> list[Any] | None:
    """The rule's value for each cell of a column; None where the file has no such column."""
    return None if name is None else list(map(rule, cell_values(batch.column(name))))


def _keys(batch: pa.RecordBatch, name: str | None, numbers: Sequence[int]) -> list[str]:
    if name is None or pa.types.is_temporal(batch.column(name).type):
        return list(map(str, numbers))
    return list(map(key_of, cell_values(batch.column(name)), numbers))


def _uids(
    file: InputFile, uids: list[bytes | None] | None, keys: list[str], numbers: Sequence[int]
) -> list[bytes]:
    hashed = hash_uids(file.entry, file.relative, "row", keys, numbers)
    return [uid or other for uid, other in zip(uids or hashed, hashed, strict=True)]


def key_of(value: object, number: int) -> str:
    """A key as text; LAION's are whole numbers stored as doubles. Without one, the row's number."""
    if isinstance(value, str) and is_text(value):
        return value if len(value) <= MAX_KEY_BYTES else str(number)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int) else str(number)


def side_of(value: object) -> int | None:
    """A width or height in pixels, from a column."""
    if isinstance(value, int | float) and 0 < value < 2**31:
        return int(value)
    return None


def sha256_of(value: object) -> bytes | None:
    """A picture's hash, from a column of 64 hex digits."""
    if isinstance(value, str) and SHA256.fullmatch(value):
        return bytes.fromhex(value)
    return None


def _caption(value: object, options: IngestOptions) -> Row:
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            message = f"not UTF-8: {error.reason} at byte {error.start}"
            return fault(Reason.BAD_CAPTION, message, None)
    return judge_caption(value if isinstance(value, str) else None, None, options)


def _captions(column: pa.Array, options: IngestOptions) -> dict[str, pa.Array]:
    """The columns ``text``, and ``reason`` and ``message`` of its faults."""
    text = _text(column)
    if text is None:
        text = pa.nulls(len(column), pa.large_string())
        doubtful, values = pa.repeat(True, len(column)), cell_values(column)
    else:
        doubtful = _doubtful(text, options)
        values = text.filter(doubtful).to_pylist()
    if not values:
        return {"text": text}
    rows = [_caption(value, options) for value in values]
    columns = {"text": text, "reason": pa.nulls(len(text)), "message": pa.nulls(len(text))}
    for name, array in columns.items():
        kind = INGEST.field(name).type
        judged = pa.array([row.get(name) for row in rows], kind)
        columns[name] = pc.replace_with_mask(array.cast(kind), doubtful, judged)
    return columns


@cache
def unseen() -> str:
    """Characters in which there is nothing to see."""
    return "".join(one for one in map(chr, range(0x10000)) if not is_visible(one))


def _doubtful(text: pa.Array, options: IngestOptions) -> pa.Array:
    """(n,) True for captions to be judged one by one: null, too long, or with nothing to see."""
    fits = pc.less_equal(pc.binary_length(text), options.max_caption_bytes)
    some = pc.greater(pc.binary_length(pc.utf8_ltrim(text, characters=unseen())), 0)
    return pc.invert(pc.fill_null(pc.and_(fits, some), False))


def _urls(batch: pa.RecordBatch, name: str) -> pa.Array:
    column = batch.column(name)
    text = _text(column) if is_string(column.type) else None
    return pa.array(_each(batch, name, _url), pa.large_string()) if text is None else text


def _bounded(urls: pa.Array, message: pa.Array | None) -> dict[str, pa.Array]:
    """The column ``url`` without those that are too long, and a ``message`` where none stands."""
    long = pc.fill_null(pc.greater(pc.binary_length(urls), MAX_URL_BYTES), False)
    if not pc.any(long).as_py():
        return {"url": urls}
    complaints = [long_url(size) for size in pc.utf8_length(urls).filter(long).to_pylist()]
    told = pc.replace_with_mask(pa.nulls(len(urls), pa.string()), long, pa.array(complaints))
    messages = told if message is None else pc.coalesce(message.cast(pa.string()), told)
    # Not `if_else`: its result keeps room for all that it leaves out.
    short = np.asarray(pc.invert(long))
    rows = pa.array(np.cumsum(short) - 1, mask=~short)
    return {"url": urls.filter(pa.array(short)).take(rows), "message": messages}


def _url(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _text(column: pa.Array) -> pa.Array | None:
    """A column of text, or of bytes that are text; None where a value is not UTF-8, or pyarrow cannot cast it."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        column.validate(full=True)
        return column.cast(pa.large_string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def cell_values(column: pa.Array) -> list[Any]:
    """A column as Python values; text that is not UTF-8 stays bytes."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not is_string(column.type):
        try:
            return list(column.to_pylist())
        except (ValueError, OverflowError):  # times that Python's objects cannot hold
            return own_values.values(column)
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
