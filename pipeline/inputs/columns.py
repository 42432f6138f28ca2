"""The input's own columns: which there are, what they hold, and the values of some of them for some rows.

A tar's columns are the keys of its json members, a parquet file's are those of its schema. Only numbers, text and
true/false are of use as columns; what holds anything else (lists, structs, bytes) is known by name alone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tamis.pipeline.inputs.captions import is_text, read_json
from tamis.pipeline.inputs.parquet import BROKEN, open_parquet
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.inputs.tar.walker import Damage, Walker
from tamis.pipeline.inputs.tar.webdataset import META_SUFFIX, group
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError

LOOK_BYTES = (256 << 10, 4 << 20)
"""How much of a tar is read to learn its columns; the second where the first holds no json member."""

BATCH_ROWS = 8_192
"""Rows of a parquet file that are decoded at a time."""

NUMBER, TEXT, TRUTH = pa.float64(), pa.string(), pa.bool_()

Columns = Mapping[str, pa.DataType | None]
"""Name -> NUMBER, TEXT or TRUTH; pa.null() where no value has been seen, None where it is something else."""


def look(path: str, kind: Literal["tar", "parquet"]) -> Columns:
    """The columns of one input file, from its first samples or its schema; none where it cannot be read."""
    if kind == "tar":
        return _look_tar(path)
    try:
        with storage.open_table(path) as raw:
            return {field.name: _parquet_kind(field.type) for field in pq.read_schema(raw)}
    except BROKEN:  # a damaged input is ingest's to report, row by row
        return {}


def _look_tar(path: str) -> Columns:
    size = storage.stat(path).size
    for limit in LOOK_BYTES:
        (start,) = storage.read_blocks(path, [(0, min(limit, size))])
        found: dict[str, pa.DataType | None] = {}
        for sample in group(Walker(io.BytesIO(start))):
            if isinstance(sample, Damage):
                continue
            fields, _, _ = read_json(
                sample.members.get(META_SUFFIX), IngestOptions().max_meta_bytes
            )
            for name, value in fields.items():
                if found.get(name, pa.null()) == pa.null() and is_text(name):
                    found[name] = _json_kind(value)
        if found or limit >= size:
            break
    return found


def _json_kind(value: Any) -> pa.DataType | None:
    if value is None:
        return pa.null()
    if isinstance(value, bool):  # before int, which it is a kind of
        return TRUTH
    if isinstance(value, (int, float)):
        return NUMBER
    return TEXT if isinstance(value, str) else None


def _parquet_kind(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return TRUTH
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return NUMBER
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return TEXT
    return pa.null() if pa.types.is_null(kind) else None


def from_json(
    texts: Sequence[str | None], wanted: Mapping[str, pa.DataType]
) -> dict[str, pa.Array]:
    """The values (n) of some keys in n json objects; a value of another type than the wanted one is null."""
    values: dict[str, list[Any]] = {name: [] for name in wanted}
    for text in texts:
        fields = {} if text is None else json.loads(text)
        for name, kind in wanted.items():
            values[name].append(_as_kind(fields.get(name), kind))
    return {name: pa.array(values[name], kind) for name, kind in wanted.items()}


def _as_kind(value: Any, kind: pa.DataType) -> Any:
    if value is None or _json_kind(value) != kind:
        return None
    if kind == NUMBER:
        try:
            return float(value)
        except OverflowError:  # an integer of more than 308 digits
            return None
    return value if kind != TEXT or is_text(value) else None


def from_parquet(
    path: str,
    row_group: NDArray[np.integer],
    group_row: NDArray[np.integer],
    wanted: Mapping[str, pa.DataType],
) -> dict[str, pa.Array]:
    """The values (n) of some columns in n rows; (row_group, group_row) say where each lies, ascending.

    Raises:
        InputError: the file lacks a column or a row, or a column holds something else than is wanted.
    """
    found: list[pa.Table] = []
    try:
        with open_parquet(path) as file:
            _check(path, file.schema_arrow, wanted)
            for number in np.unique(row_group):
                rows = group_row[row_group == number]
                found += _rows_of(file, int(number), rows, list(wanted), path)
    except BROKEN as error:
        columns = ", ".join(wanted)
        raise InputError(f"`{storage.redact(path)}`: cannot read {columns}: {error}") from error
    if not found:
        return {name: pa.array([], kind) for name, kind in wanted.items()}
    table = pa.concat_tables(found)
    # Unsafe, since an integer above 2^53 is to lose its last digits and not to stop the run.
    return {
        name: table[name].cast(kind, safe=False).combine_chunks() for name, kind in wanted.items()
    }


def _check(path: str, schema: pa.Schema, wanted: Mapping[str, pa.DataType]) -> None:
    for name, kind in wanted.items():
        if schema.names.count(name) != 1:
            there = ", ".join(schema.names)
            raise InputError(
                f"`{storage.redact(path)}` has not one column {name}, as other files of the input do: it has {there}"
            )
        holds = schema.field(name).type
        if _parquet_kind(holds) not in (kind, pa.null()):
            raise InputError(
                f"`{storage.redact(path)}`: column {name} is {holds}, in other files of the input {kind}"
            )


def _rows_of(
    file: pq.ParquetFile, number: int, rows: NDArray[np.integer], names: list[str], path: str
) -> list[pa.Table]:
    """Some rows of one row group, decoded a batch at a time and no further than the last of them."""
    taken: list[pa.Table] = []
    start, left = 0, rows
    batches = file.iter_batches(BATCH_ROWS, [number], names, use_threads=False)
    while len(left):
        batch = next(batches, None)
        if batch is None:
            raise InputError(
                f"`{storage.redact(path)}`: row {left[0]} of row group {number} is gone: "
                "the file has changed; run again with --accept-changed"
            )
        count = int(np.searchsorted(left, start + batch.num_rows))
        taken.append(pa.Table.from_batches([batch]).take(pa.array(left[:count] - start)))
        start, left = start + batch.num_rows, left[count:]
    return taken
