"""The own columns of a parquet file, typed as they are; of a column of pictures all but their bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet import columns
from tamis.pipeline.inputs.parquet.file import BROKEN, is_string, open_parquet, picture_fields
from tamis.pipeline.inputs.parquet.texts import repaired
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import require_content
from tamis.schemas.errors import InputError

BYTES = "bytes"
"""The field of a picture's ``{bytes, path}`` that holds the picture."""


def schema(file: InputFile) -> tuple[pa.Schema, pa.Field | None]:
    """The columns of the file without pictures' bytes, and the column of pictures as it is.

    Raises:
        InputError: the file has changed.
    """
    try:
        with open_parquet(file.path) as parquet:
            whole = parquet.schema_arrow.remove_metadata()
    except BROKEN as error:
        require_content(error, file.path)
        raise _changed(file, error) from error
    names = [name for name in whole.names if whole.names.count(name) == 1]
    picture = file.reading.column("image", whole.names)
    fields = []
    for name in names:
        kind = whole.field(name).type
        rest = _without_bytes(kind) if name == picture else kind
        if rest is not None:
            fields.append(pa.field(name, rest))
    data, _ = picture_fields(whole, file.path, picture)
    return pa.schema(fields), whole.field(picture).remove_metadata() if data else None


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
    own, picture = schema(file)
    wanted = [field for field in own if names is None or field.name in names]
    if not wanted:
        yield pa.table({"": pa.nulls(rows.num_rows)}).select([])
        return
    if not rows.num_rows:
        yield pa.schema(wanted).empty_table()
        return
    leaves = []
    for field in wanted:
        nested = picture is not None and field.name == picture.name
        leaves += [f"{field.name}.{inner.name}" for inner in field.type] if nested else [field.name]
    group, row = (rows[name].to_numpy() for name in ("row_group", "group_row"))
    try:
        with open_parquet(file.path) as parquet:
            for table in columns.rows_of(parquet, group, row, leaves, file.path):
                sound = {field.name: repaired(table[field.name]) for field in wanted}
                yield pa.table(sound).cast(pa.schema(wanted))
    except BROKEN as error:
        require_content(error, file.path)
        raise _changed(file, error) from error


def _changed(file: InputFile, error: BaseException) -> InputError:
    words = " ".join(str(error).split())
    return InputError(
        f"`{storage.redact(file.path)}` has changed since it was ingested: {words}; run again with --accept-changed"
    )
