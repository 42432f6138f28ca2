"""Parquet, with or without pictures in it, as an input format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs.columns import Columns
from tamis.pipeline.inputs.formats import Format, Outline, Sample
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet import columns, fetch
from tamis.pipeline.inputs.parquet.file import BROKEN, TAKEN, find_columns, open_parquet
from tamis.pipeline.inputs.parquet.rows import runs
from tamis.pipeline.inputs.part_builder import FileTotals, IngestOptions, Run
from tamis.schemas.errors import InputError
from tamis.schemas.tables import find_column


class Parquet(Format):
    """A row lies in a row group; the input's own columns are read from the file again."""

    endings = (".parquet",)
    values_in_table = False

    def outline(self, source: InputFile) -> Outline:
        """What the footer says."""
        try:
            with open_parquet(source.path) as file:
                rows, schema = int(file.metadata.num_rows), file.schema_arrow
        except BROKEN as error:
            return Outline(pictures=None, damage=" ".join(str(error).split()))
        found = {name: find_column(name, schema.names) for name in TAKEN}
        taken = {name: column for name, column in found.items() if column is not None}
        return Outline(
            rows=rows,
            pictures="image" in taken if rows else None,
            taken=taken,
            refused=_refused(schema, source.path),
        )

    def columns(self, source: InputFile) -> Columns:
        """Those of the schema."""
        return columns.look(source.path)

    def walk(self, source: InputFile, options: IngestOptions, totals: FileTotals) -> Iterator[Run]:
        """A run a row group."""
        return runs(source, options, totals)

    def pictures(self, source: InputFile, rows: pa.Table) -> Iterator[bytes]:
        """Row group by row group."""
        return fetch.pictures(source, rows)

    def members(self, source: InputFile, rows: pa.Table) -> Iterator[Sample]:
        """Picture and caption."""
        return fetch.members(source, rows)

    def values(
        self, source: InputFile, rows: pa.Table, wanted: Mapping[str, pa.DataType]
    ) -> dict[str, pa.Array]:
        """Row group by row group."""
        group, row = (rows[name].to_numpy() for name in ("row_group", "group_row"))
        return columns.read(source.path, group, row, wanted)

    def where(self, read: Mapping[str, Any]) -> str | None:
        """The row's number in the file."""
        return f"row {read['file_row']:,}" if "file_row" in read else None


def _refused(schema: pa.Schema, path: str) -> str | None:
    try:
        find_columns(schema, IngestOptions(), path)
    except InputError as error:
        return str(error)
    return None


PARQUET = Parquet()
