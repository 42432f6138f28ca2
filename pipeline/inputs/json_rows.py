"""Rows whose facts stand in the ingest table as the text of a JSON object: their columns."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs import columns, json_text, own_columns, own_types, partitions
from tamis.pipeline.inputs.formats import Format
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store import storage


def parsed(text: str) -> dict[str, Any]:
    """The fields of a JSON object; none where the text is no such object."""
    try:
        fields = json_text.loaded(text)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def own(rows: pa.Table, names: Collection[str] | None = None) -> pa.Table:
    """A column for each key of the objects, or for those named, of the type that holds its values."""
    texts = rows["meta"].to_pylist()
    told = [text for text in texts if text is not None]
    objects = iter(_loaded(told))
    return own_columns.of_objects(
        [None if text is None else next(objects) for text in texts], names
    )


def retold(own: pa.Table, rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Columns ``own`` of some rows; those of which lists or objects become text in ``schema`` are read again as that.
    The type that holds a part's values may have text for some inside of them, which is no text where the whole is.

    Args:
        own: of n rows, by whatever format.
        rows: of ingest's table; where they have no JSON, the columns stay.
        schema: the result's.
    """
    kinds = {field.name: field.type for field in schema}
    names = [
        field.name
        for field in own.schema
        if _becomes_text(field.type, kinds.get(field.name, field.type))
    ]
    texts = rows["meta"].to_pylist() if names else []
    if not any(text is not None for text in texts):
        return own
    told = iter(_loaded([text for text in texts if text is not None]))
    objects = [None if text is None else next(told) for text in texts]
    for name in names:
        values = (None if one is None else one.get(name) for one in objects)
        place = own.schema.get_field_index(name)
        own = own.set_column(place, name, own_columns.of_kind(values, kinds[name]))
    return own


def _becomes_text(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether lists or objects, at any depth, are text in another type."""
    types = pa.types
    if types.is_struct(kind) and types.is_struct(wanted):
        inner = {field.name: field.type for field in wanted}
        return any(_becomes_text(f.type, inner.get(f.name, f.type)) for f in kind)
    if own_types.is_list(kind) and own_types.is_list(wanted):
        return _becomes_text(kind.value_type, wanted.value_type)
    return bool(types.is_nested(kind) and types.is_string(wanted))


def _loaded(texts: Sequence[str]) -> list[Any]:
    """The JSON values of texts: in one call, in which a key that comes again is one string."""
    with suppress(RecursionError):  # one level deeper than each alone
        found: list[Any] = json.loads(f"[{','.join(texts)}]")
        if len(found) == len(texts):
            return found
    return [json.loads(text) for text in texts]


class JsonRows(Format):
    """A format whose samples have their columns in json members or files, which stand in ingest's table."""

    def values(
        self, file: InputFile, rows: pa.Table, wanted: Mapping[str, pa.DataType]
    ) -> dict[str, pa.Array]:
        """From the JSON objects."""
        found = columns.from_json(rows["meta"].to_pylist(), wanted)
        return partitions.filled(file, found, wanted)

    def own_schema(self, file: InputFile, rows: pa.Table) -> pa.Schema:
        """The keys of the JSON objects, each of the type that holds its values."""
        return own_columns.schema_of(partitions.added(file, own(rows), None))

    def own(
        self, file: InputFile, rows: pa.Table, names: Collection[str] | None
    ) -> Iterator[pa.Table]:
        """From the JSON objects, which a part holds anyway."""
        yield partitions.added(file, own(rows, names), names)


def refused(file: InputFile) -> str | None:
    """The reason why a job cannot name some columns, where samples are files: they have these by themselves."""
    if file.reading.bare:
        return f"`{storage.redact(file.path)}`: `columns: {{image: none}}`: its samples are its pictures: leave it out"
    for name in ("key", "width", "height", "sha256"):
        if file.reading.names(name):
            return (
                f"`{storage.redact(file.path)}`: `columns: {{{name}: ...}}`: its samples have it by themselves: "
                "leave it out"
            )
    return None
