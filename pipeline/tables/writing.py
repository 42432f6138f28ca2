"""The writing of part files: a row group for each table, and the sealed record in the footer."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tamis.pipeline.store import storage
from tamis.pipeline.store.digesting import DigestingFile
from tamis.pipeline.tables.columns import PACKED
from tamis.pipeline.tables.part_files import METADATA_KEY, TableFile, columns_of

ASCENDING = frozenset({"sid", "row", "file_row", "group_row", "caption"})
"""Columns of whole numbers that mostly ascend: their differences are stored, in half of the time and bytes or less."""


def write(
    root: str,
    path: str,
    fingerprint: str,
    groups: Iterable[pa.Table],
    notes: Callable[[], Mapping[str, Any]],
) -> TableFile:
    """Write one row group for each table of ``groups``; ``notes`` is called after the last.

    Raises:
        ValueError: ``groups`` is empty: a part without rows needs a table without rows.
    """
    with storage.write_atomic(storage.join(root, path)) as raw:
        out = DigestingFile(raw, xxhash.xxh3_64())
        try:
            file = _write_groups(out, TableFile(path, fingerprint, (), (), 0), groups, notes)
        except BaseException:
            out.abandon()
            raise
    return replace(file, bytes=out.written)


def _write_groups(
    out: DigestingFile,
    file: TableFile,
    groups: Iterable[pa.Table],
    notes: Callable[[], Mapping[str, Any]],
) -> TableFile:
    digests: list[str] = []
    rows: list[int] = []
    columns: list[str] = []
    sink = pa.PythonFile(out, mode="w")
    writer: pq.ParquetWriter | None = None
    for table in groups:
        if writer is None:
            writer, columns = _writer(sink, table.schema), _stored_columns(table.schema)
        writer.write_table(table, row_group_size=max(1, table.num_rows))
        digests.append(out.take_digest(xxhash.xxh3_64()))
        rows.append(table.num_rows)
    if writer is None:
        raise ValueError(f"{file.path}: no row group: a part without rows needs one without rows")
    file = replace(file, groups=tuple(digests), rows=tuple(rows), notes=dict(notes()))
    writer.add_key_value_metadata({METADATA_KEY: _seal({**file.to_json(), "schema": columns})})
    writer.close()
    sink.close()
    return file


def _writer(sink: pa.NativeFile, schema: pa.Schema) -> pq.ParquetWriter:
    # Distinct numbers gain nothing from a dictionary, and embeddings are written 30 times slower with one.
    # A uint64 is a hash.
    plain = [
        f.name
        for f in schema
        if pa.types.is_fixed_size_binary(f.type)
        or pa.types.is_floating(f.type)
        or pa.types.is_uint64(f.type)
    ]
    ascending = [f.name for f in schema if f.name in ASCENDING and pa.types.is_integer(f.type)]
    return pq.ParquetWriter(
        sink,
        schema,
        compression={f.name: _compression(f, f.name in plain) for f in schema},
        use_dictionary=[f.name for f in schema if f.name not in (*plain, *ascending)] or False,
        column_encoding=dict.fromkeys(ascending, "DELTA_BINARY_PACKED"),
        write_page_checksum=True,
        store_schema=True,
    )


def _compression(field: pa.Field, plain: bool) -> str:
    # Of the numbers of 64 bits most are a preference that is the same for all.
    packed = (field.metadata or {}).items() >= PACKED.items() or pa.types.is_float64(field.type)
    return "zstd" if packed or not plain else "none"


@lru_cache(maxsize=64)
def _stored_columns(schema: pa.Schema) -> list[str]:
    """``columns_of`` of the schema as a file returns it: parquet may rename nested fields."""
    buffer = io.BytesIO()
    pq.write_table(schema.empty_table(), buffer, store_schema=True)
    return columns_of(pq.read_schema(buffer))


def _seal(record: Mapping[str, Any]) -> str:
    """The record as text behind its checksum: a parquet footer has none of its own."""
    text = json.dumps(record, sort_keys=True)
    return xxhash.xxh3_64_hexdigest(text.encode()) + text
