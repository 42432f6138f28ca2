"""The columns of a shard's parquet file: tamis' own, the input's, and the signals.

A column of the input keeps its name, type and values. One of ours that has the same name is left out where the two say
the same of every kept sample, and else is called ``tamis_`` and its name. A field's metadata say which are ours, for
readers that ask by our names (``ours_in``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from tamis.pipeline.inputs import own_values
from tamis.pipeline.inputs.parquet.file import MARK

PREFIX = "tamis_"

SIDECAR = pa.schema(
    [
        ("url", pa.string()),
        ("caption", pa.large_string()),
        ("key", pa.string()),
        ("status", pa.string()),
        ("error_message", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("original_width", pa.int32()),
        ("original_height", pa.int32()),
        ("exif", pa.string()),
        ("sha256", pa.string()),
        ("uid", pa.string()),
        ("source", pa.string()),
        ("source_key", pa.string()),
    ]
)
"""img2dataset's columns, and the origin of the sample."""

PICTURE = "image"
"""The name of the column of pictures that come from tars."""


def of_signal(name: str) -> str:
    """Our name of a signal's column: another where img2dataset has a column of that name, as `width`."""
    return f"signal_{name}" if name in SIDECAR.names else name


OF_THE_SHARD = frozenset({"key", PICTURE})
"""Our columns that say something else than any column of the input."""

UNSAID = frozenset({"status", "error_message", "exif"})
"""Our columns that say no more than a column of the input of that name."""

PICTURE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""Its type: as Hugging Face `datasets` writes pictures."""


@dataclass(frozen=True)
class Layout:
    """The columns of all shards of a result.

    Attributes:
        own: the input's.
        ours: our columns, signals too, by our names.
        names: our name -> the name in the result; ours that are left out are missing.
        pictures: columns of ``own`` that hold pictures.
    """

    own: pa.Schema
    ours: pa.Schema
    names: Mapping[str, str]
    pictures: Collection[str] = ()

    def schema(self) -> pa.Schema:
        """The schema of every shard's parquet file: img2dataset's columns, the input's, the signals."""
        first = [field for field in self.ours if field.name in SIDECAR.names]
        last = [field for field in self.ours if field.name not in SIDECAR.names]
        fields = [*self._marked(first), *self.own, *self._marked(last)]
        return pa.schema(fields, metadata=_features(fields))

    def _marked(self, fields: list[pa.Field]) -> Iterator[pa.Field]:
        for field in fields:
            if field.name in self.names:
                mark = {MARK: field.name.encode()}
                yield field.with_name(self.names[field.name]).with_metadata(mark)


def _features(fields: list[pa.Field]) -> dict[bytes, bytes] | None:
    """The note by which Hugging Face `datasets` decodes columns of pictures by itself."""
    images = {f.name: {"_type": "Image"} for f in fields if f.type == PICTURE_TYPE}
    if not images:
        return None
    return {b"huggingface": json.dumps({"info": {"features": images}}).encode()}


def layout(
    own: pa.Schema, ours: pa.Schema, differ: Collection[str], pictures: Collection[str] = ()
) -> Layout:
    """The layout of a result.

    Args:
        own: the input's columns.
        ours: our columns.
        differ: names of both that do not say the same of every kept sample.
        pictures: columns of ``own`` that hold pictures.
    """
    taken = set(own.names)
    differ = {*differ, *_of_other_kinds(own, ours)}
    names: dict[str, str] = {}
    for name in ours.names:
        if name in taken and name not in OF_THE_SHARD and (name in UNSAID or name not in differ):
            continue
        names[name] = _free(name, taken)
        taken.add(names[name])
    return Layout(own, ours, names, pictures)


def _of_other_kinds(own: pa.Schema, ours: pa.Schema) -> Iterator[str]:
    """The names of both that are numbers in one alone: captions that are all digits, say, in a column of numbers."""
    for name in set(own.names) & set(ours.names):
        kinds = own.field(name).type, ours.field(name).type
        if pa.null() not in kinds and len(set(map(_is_number, kinds))) == 2:
            yield name


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return any(is_one(kind) for is_one in tests)


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = PREFIX + name
    return name


def ours_in(schema: pa.Schema) -> dict[str, str]:
    """Our name of a column -> its name in a shard's parquet file."""
    names = {name: name for name in SIDECAR.names if name in schema.names}
    for field in schema:
        if field.metadata and MARK in field.metadata:
            names[field.metadata[MARK].decode()] = field.name
    return names


def differing(own: pa.Table, ours: pa.Table) -> set[str]:
    """The columns of both tables whose values are not the same in every row."""
    both = set(own.column_names) & set(ours.column_names)
    return {name for name in both if _values(own[name]) != _values(ours[name])}


def _values(column: pa.ChunkedArray) -> list[object]:
    return [value for chunk in column.chunks for value in own_values.values(chunk)]
