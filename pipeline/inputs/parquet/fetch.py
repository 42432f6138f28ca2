"""The pictures of some rows of a parquet file, with as little of its row groups decoded as possible."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.inputs import picture_paths
from tamis.pipeline.inputs.formats import Sample, check_same
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet.batch_size import batch_rows
from tamis.pipeline.inputs.parquet.file import (
    BATCH_ROWS_WITH_PICTURES,
    BROKEN,
    InputParquet,
    open_parquet,
    own_name,
    picture_fields,
)
from tamis.pipeline.inputs.parquet.inner import Way, field_of, stored_way
from tamis.pipeline.inputs.picture_formats import SUFFIXES
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import require_content
from tamis.schemas.errors import InputError


def pictures(file: InputFile, rows: pa.Table) -> Iterator[bytes]:
    """The bytes of each row's picture."""
    path = storage.redact(file.path)
    try:
        for cell, digest in zip(_cells(file, rows), rows["sha256"], strict=True):
            data = cell if isinstance(cell, bytes) else picture_paths.read(file, cell)
            check_same(file, [data], [digest.as_py()], picture_paths.shown(cell))
            yield data
    except BROKEN as error:
        require_content(error, path)
        words = " ".join(str(error).split())
        raise InputError(
            f"`{path}` has changed since it was ingested: {words}; run again with --accept-changed"
        ) from error


def members(file: InputFile, rows: pa.Table) -> Iterator[Sample]:
    """The picture's bytes, and the caption as ``txt``."""
    formats = rows["image_format"].to_pylist()
    texts = rows["text"].to_pylist()
    for data, name, text in zip(pictures(file, rows), formats, texts, strict=True):
        caption = [] if text is None else [("txt", text.encode())]
        yield [(SUFFIXES.get(name, name), data), *caption]


def _cells(file: InputFile, rows: pa.Table) -> Iterator[bytes | str | None]:
    """The pictures of rows or their paths, row group by row group; ValueError where the file has fewer rows."""
    groups, group_rows = rows["row_group"].to_numpy(), rows["group_row"].to_numpy()
    with open_parquet(file.path) as parquet:
        schema = parquet.schema_arrow
        column = own_name(schema, "image", file.reading)
        if column is None:
            raise InputError(f"`{storage.redact(file.path)}` {_why_no_pictures(rows)}")
        found = picture_fields(schema, file.path, column)
        names = [name for name in found if name is not None]
        for group in np.unique(groups).tolist():
            if group >= parquet.num_row_groups:
                raise ValueError(f"row group {group} is gone")
            yield from _of_group(parquet, group, names, group_rows[groups == group])


def _why_no_pictures(rows: pa.Table) -> str:
    """A word about a file without a column of pictures; those that were ingested have their sizes in ``rows``."""
    if rows["image_size"].null_count == rows.num_rows:
        return (
            "has no column of pictures, as other files of the input have: name those alone, make an input of their own "
            "of the others, or set `write: {format: parquet}`"
        )
    return "has no column of pictures any more: run again with --accept-changed"


def _of_group(
    parquet: InputParquet, group: int, names: list[Way], wanted: npt.NDArray[np.int64]
) -> Iterator[bytes | str | None]:
    """Pictures or paths in some rows of a row group, decoded no further than the last of them."""
    start = 0
    stored = [*dict.fromkeys(stored_way(parquet.schema_arrow, name) for name in names)]
    rows = batch_rows(parquet, group, stored, BATCH_ROWS_WITH_PICTURES)
    for batch in parquet.iter_batches(rows, [group], stored):
        cells = [field_of(batch, name) for name in names]
        for row in wanted[(wanted >= start) & (wanted < start + batch.num_rows)].tolist():
            values = (cell[row - start].as_py() for cell in cells)
            yield next((value for value in values if value is not None), None)
        start += batch.num_rows
        if start > wanted[-1]:
            return
    raise ValueError(f"row {start} of row group {group} is gone")
