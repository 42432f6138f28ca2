"""The tables of ``manifest/``: every input, every file of embeddings beside it, and every file of the result.

``manifest.json`` holds their digests. It is written last, and removed before any of them is replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import require_content
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import part_files
from tamis.schemas.manifest import Embeddings, FileRecord, Input, Output

FOLDER = "manifest"

INPUTS, EMBEDDINGS, OUTPUTS = "inputs", "embeddings", "outputs"

_SIZES = {"bytes": pa.int64(), "sha256": pa.binary(32), "rows": pa.int64()}

SCHEMAS: Mapping[str, pa.Schema] = {
    INPUTS: pa.schema({"source": pa.string(), **_SIZES}),
    EMBEDDINGS: pa.schema(
        {
            "source": pa.string(),
            "of": pa.string(),
            "name": pa.string(),
            "bytes": pa.int64(),
            "embedding": pa.string(),
        }
    ),
    OUTPUTS: pa.schema({"path": pa.string(), **_SIZES}),
}

GROUP_ROWS = 1 << 16
"""Rows of a row group: a question about a few files reads a few of them."""

Record = TypeVar("Record", bound=FileRecord)


def write(root: str, records: Mapping[str, Sequence[FileRecord]]) -> dict[str, str]:
    """Write the tables, named as in SCHEMAS, that have changed; returns the sha256 of each.

    A table without records is not written, and removed where one lies.
    """
    digests: dict[str, str] = {}
    for name, schema in SCHEMAS.items():
        path = _path(root, name)
        if not records[name]:
            if storage.exists(path):
                storage.delete(path)
            continue
        data = _packed(records[name], schema)
        digests[name] = hashlib.sha256(data).hexdigest()
        if not storage.exists(path) or storage.read_bytes(path) != data:
            storage.write_bytes(path, data)
    return digests


def _packed(records: Sequence[FileRecord], schema: pa.Schema) -> bytes:
    columns = [
        pa.array([_stored(getattr(record, field.name)) for record in records], field.type)
        for field in schema
    ]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_arrays(columns, schema=schema)
    pq.write_table(table, sink, row_group_size=GROUP_ROWS, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _stored(value: str | int) -> str | int | bytes:
    """A hash as its bytes: it is what has 64 hex digits."""
    if isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef"):
        return bytes.fromhex(value)
    return value


def _path(root: str, name: str) -> str:
    return storage.join(root, FOLDER, f"{name}.parquet")


@dataclass(frozen=True)
class ManifestFiles:
    """The tables of a finished run, each read when it is first asked for."""

    root: str
    digests: Mapping[str, str]

    @cached_property
    def inputs(self) -> Sequence[Input]:
        """Every input file, by its number.

        Raises:
            StateError: as of each of the three, the table is damaged or missing.
        """
        return list(self._read(INPUTS, Input))

    @cached_property
    def embeddings(self) -> Sequence[Embeddings]:
        """The embedding files that came with the input, of a job that takes them."""
        return list(self._read(EMBEDDINGS, Embeddings))

    @cached_property
    def outputs(self) -> Sequence[Output]:
        """Every file of the result, sorted by path."""
        return list(self._read(OUTPUTS, Output))

    def _read(self, name: str, kind: type[Record]) -> Iterator[Record]:
        if name not in self.digests:
            return
        with self._opened(name) as file:
            table = file.read()
            known = [field for field in SCHEMAS[name] if field.name in table.column_names]
            table = table.cast(pa.schema(known))  # an earlier version had fewer
        for batch in table.to_batches(GROUP_ROWS):
            for row in batch.to_pylist():
                values: dict[str, Any] = {key: _shown(value) for key, value in row.items()}
                yield kind(**values)

    @contextmanager
    def _opened(self, name: str) -> Iterator[ParquetFile]:
        path = _path(self.root, name)
        try:
            with storage.open_table(path) as raw, ParquetFile(raw) as file:
                yield file
        except part_files.DAMAGE as error:
            require_content(error, path)
            raise part_files.damage_error(path, error) from None

    def paths(self, folder: str) -> list[str]:
        """The result's files in ``folder``, in order, relative to the run: of the table, what may name them is read."""
        if OUTPUTS not in self.digests:
            return []
        found: list[str] = []
        with self._opened(OUTPUTS) as file:
            for group in range(file.metadata.num_row_groups):
                ends = file.metadata.row_group(group).column(0).statistics
                told = ends is not None and ends.has_min_max
                if not told or (ends.min < f"{folder}0" and ends.max >= f"{folder}/"):
                    column = file.read_row_group(group, ["path"])["path"]
                    found += column.filter(pc.starts_with(column, f"{folder}/")).to_pylist()
        return found

    def first_sources(self, most: int) -> list[str]:
        """The names of the first input files, ``most`` of them, or those of the first row group."""
        if INPUTS not in self.digests:
            return []
        with self._opened(INPUTS) as file:
            names: list[str] = file.read_row_group(0, ["source"])["source"][:most].to_pylist()
        return names

    def damaged(self) -> Iterator[tuple[str, str]]:
        """The path of each table that is not what was written, and how it differs."""
        for name, digest in self.digests.items():
            try:
                data = storage.read_bytes(_path(self.root, name))
            except FileNotFoundError:
                yield f"{FOLDER}/{name}.parquet", "is missing"
                continue
            if hashlib.sha256(data).hexdigest() != digest:
                yield f"{FOLDER}/{name}.parquet", "is not the table that manifest.json names"


def _shown(value: str | int | bytes) -> str | int:
    return value.hex() if isinstance(value, bytes) else value
