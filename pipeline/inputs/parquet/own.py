"""The own columns of a parquet file, typed as they are; of a column of pictures all but their bytes.

A list of which the sample's picture is one is left out whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from tamis.pipeline.inputs import own_types
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet import columns
from tamis.pipeline.inputs.parquet.file import (
    BROKEN,
    is_string,
    open_parquet,
    own_name,
    picture_fields,
)
from tamis.pipeline.inputs.parquet.inner import Way, way_of
from tamis.pipeline.inputs.parquet.large import large_columns
from tamis.pipeline.inputs.parquet.texts import repaired
from tamis.pipeline.inputs.parquet.views import without_list_views
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import require_content
from tamis.schemas.errors import InputError

BYTES = "bytes"
"""The field of a picture's ``{bytes, path}`` that holds the picture."""


class Own(NamedTuple):
    """The columns of a file without pictures' bytes, marked as ``own_types`` has it; what is decoded for each; and the
    column of pictures as it is.
    """

    schema: pa.Schema
    leaves: Mapping[str, Sequence[Way]]
    picture: pa.Field | None


def schema(file: InputFile) -> Own:
    """The columns of the file.

    Raises:
        InputError: the file has changed.
    """
    try:
        with open_parquet(file.path) as parquet:
            whole = parquet.schema_arrow.remove_metadata()
            large = large_columns(parquet)
    except BROKEN as error:
        require_content(error, file.path)
        raise _changed(file, error) from error
    picture = own_name(whole, "image", file.reading)
    holder, *keys = [""] if picture is None else way_of(whole, picture)
    fields, leaves = [], dict[str, Sequence[Way]]()
    for name in whole.names:
        kind = without_list_views(whole.field(name).type)
        rest = _without_picture(kind, keys) if holder and name == holder else kind
        if rest is not None:
            fields.append(own_types.marked(pa.field(name, rest), name in large))
            leaves[name] = _leaves((name,), rest, keys) if holder and name == holder else [(name,)]
    data, _ = picture_fields(whole, file.path, picture)
    has_own = data is not None and not keys
    return Own(
        pa.schema(fields), leaves, whole.field(picture).remove_metadata() if has_own else None
    )


def _without_picture(kind: pa.DataType, keys: Sequence[str]) -> pa.DataType | None:
    """The type of what the column beside the picture behind ``keys`` has; None for nothing."""
    if not keys:
        return _without_bytes(kind)
    if not pa.types.is_struct(kind):
        return None
    rest = [
        (
            field.name,
            _without_picture(field.type, keys[1:]) if field.name == keys[0] else field.type,
        )
        for field in kind
    ]
    left = [(name, kind) for name, kind in rest if kind is not None]
    return pa.struct(left) if left else None


def _leaves(way: Way, kind: pa.DataType, keys: Sequence[str]) -> list[Way]:
    """The fields of a type that ``_without_picture`` has made, each with the way to it."""
    if not pa.types.is_struct(kind):
        return [way]
    found = list[Way]()
    for field in kind:
        inner = (*way, field.name)
        further = keys[1:] if keys and field.name == keys[0] else None
        found += [inner] if further is None else _leaves(inner, field.type, further)
    return found


def _without_bytes(kind: pa.DataType) -> pa.DataType | None:
    """The type of what a picture's column holds beside the bytes; None for nothing."""
    if is_string(kind):  # of paths
        return kind
    if not pa.types.is_struct(kind):
        return None
    rest = [field for field in kind if field.name != BYTES]
    return pa.struct(rest) if rest else None


def read(file: InputFile, rows: pa.Table, names: Collection[str] | None) -> Iterator[pa.Table]:
    """Some columns, or all for None, in some rows; ``rows`` has ``row_group`` and ``group_row``, ascending.

    At least one table, and no more in any than a batch: a text of the input may have any length.

    Raises:
        InputError: the file has changed.
    """
    own = schema(file)
    wanted = [field for field in own.schema if names is None or field.name in names]
    if not wanted:
        yield pa.table({"": pa.nulls(rows.num_rows)}).select([])
        return
    if not rows.num_rows:
        yield pa.schema([field.remove_metadata() for field in wanted]).empty_table()
        return
    bare = pa.schema([field.remove_metadata() for field in wanted])
    leaves = [leaf for field in wanted for leaf in own.leaves[field.name]]
    group, row = (rows[name].to_numpy() for name in ("row_group", "group_row"))
    try:
        with open_parquet(file.path) as parquet:
            for table in columns.rows_of(parquet, group, row, leaves, file.path):
                sound = {field.name: repaired(table[field.name]) for field in wanted}
                yield pa.table(sound).cast(bare)
    except BROKEN as error:
        require_content(error, file.path)
        raise _changed(file, error) from error


def _changed(file: InputFile, error: BaseException) -> InputError:
    words = " ".join(str(error).split())
    return InputError(
        f"`{storage.redact(file.path)}` has changed since it was ingested: {words}; run again with --accept-changed"
    )
