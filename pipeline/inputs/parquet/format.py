"""Parquet, with or without pictures in it, as an input format."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs import partitions
from tamis.pipeline.inputs.columns import TEXT, Columns
from tamis.pipeline.inputs.formats import Format, Outline, Sample
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet import columns, fetch, own
from tamis.pipeline.inputs.parquet.file import (
    BROKEN,
    TAKEN,
    find_columns,
    has_nulls,
    open_parquet,
    own_name,
    picture_fields,
    why_broken,
)
from tamis.pipeline.inputs.parquet.rows import sections
from tamis.pipeline.inputs.part_builder import FileTotals, IngestOptions, Section
from tamis.pipeline.store.damage import require_content
from tamis.schemas.errors import InputError


class Parquet(Format):
    """A row lies in a row group; the input's own columns are read from the file again."""

    endings = (".parquet", ".pq", ".parq")
    values_in_table = False

    def outline(self, file: InputFile) -> Outline:
        """The facts of the footer."""
        try:
            with open_parquet(file.path) as parquet:
                rows, schema = int(parquet.metadata.num_rows), parquet.schema_arrow
        except BROKEN as error:
            require_content(error, file.path)
            return Outline(pictures=None, damage=why_broken(file.path, error))
        columns = {name: own_name(schema, name, file.reading) for name in TAKEN}
        taken = {name: column for name, column in columns.items() if column is not None}
        if not file.own_uids:
            taken.pop("uid", None)
        return Outline(
            rows=rows if file.reading.captions != "each" else None,
            pictures="image" in taken if rows else None,
            taken=taken,
            refused=_refused(schema, file),
        )

    def columns(self, file: InputFile) -> Columns:
        """Those of the schema, and of Hive's partitions."""
        own_columns = columns.look(file.path)
        return partitions.known(file, own_columns) if own_columns else own_columns

    def own_names(self, file: InputFile) -> Collection[str]:
        """Those of the schema, where a dot says nothing, and of Hive's partitions."""
        names = columns.names(file.path)
        return partitions.known(file, dict.fromkeys(names)) if names else names

    def walk(
        self, file: InputFile, options: IngestOptions, totals: FileTotals
    ) -> Iterator[Section]:
        """A section a row group."""
        return sections(file, options, totals)

    def pictures(self, file: InputFile, rows: pa.Table) -> Iterator[bytes]:
        """Row group by row group."""
        return fetch.pictures(file, rows)

    def names_pictures(self, file: InputFile) -> bool:
        """Where a column has their paths, and not all of their bytes beside it."""
        try:
            with open_parquet(file.path) as parquet:
                found = own_name(parquet.schema_arrow, "image", file.reading)
                data, paths = picture_fields(parquet.schema_arrow, file.path, found)
                return paths is not None and (data is None or has_nulls(parquet, data))
        except BROKEN as error:
            require_content(error, file.path)
        except InputError:  # of a type that holds none
            pass
        return False

    def members(self, file: InputFile, rows: pa.Table) -> Iterator[Sample]:
        """Picture and caption."""
        return fetch.members(file, rows)

    def values(
        self, file: InputFile, rows: pa.Table, wanted: Mapping[str, pa.DataType]
    ) -> dict[str, pa.Array]:
        """Row group by row group; those of partitions from the path."""
        group, row = (rows[name].to_numpy() for name in ("row_group", "group_row"))
        parted = self._parted(file, wanted)
        found = columns.read(
            file.path, group, row, {n: kind for n, kind in wanted.items() if n not in parted}
        )
        found |= partitions.arrays(file, len(row), {name: wanted[name] for name in parted})
        return {name: found[name] for name in wanted}

    @staticmethod
    def _parted(file: InputFile, wanted: Collection[str]) -> set[str]:
        """The names that are partitions of the file, and no columns of it."""
        named = set(partitions.values(file, ())) & set(wanted)
        return set(partitions.values(file, columns.look(file.path))) & named if named else named

    def own_schema(self, file: InputFile, rows: pa.Table) -> pa.Schema:
        """That of the footer, and a column of text for each of Hive's partitions."""
        del rows
        schema = own.schema(file).schema
        for name in sorted(self._parted(file, partitions.values(file, ()))):
            schema = schema.append(pa.field(name, TEXT))
        return schema

    def own(
        self, file: InputFile, rows: pa.Table, names: Collection[str] | None
    ) -> Iterator[pa.Table]:
        """A batch of a row group at a time; those of partitions from the path."""
        wanted = partitions.values(file, ()) if names is None else names
        parted = dict.fromkeys(sorted(self._parted(file, wanted)), TEXT)
        for table in own.read(file, rows, names):
            columns = dict(zip(table.column_names, table.columns, strict=True))
            more = partitions.arrays(file, table.num_rows, parted)
            yield pa.table({**columns, **more}) if more else table

    def picture_field(self, file: InputFile) -> pa.Field | None:
        """The column that ingest takes for it."""
        return own.schema(file).picture

    def where(self, read: Mapping[str, Any]) -> str | None:
        """The row's number in the file."""
        return f"row {read['file_row']:,}" if "file_row" in read else None


def _refused(schema: pa.Schema, file: InputFile) -> str | None:
    try:
        find_columns(schema, IngestOptions(), file.path, file.reading, partitions.captions(file))
    except InputError as error:
        return str(error)
    return None


PARQUET = Parquet()
