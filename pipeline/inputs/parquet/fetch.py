"""The pictures of some rows of a parquet file, with as little of its row groups decoded as possible."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.inputs.formats import Sample, check_same
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet.batch_size import batch_rows
from tamis.pipeline.inputs.parquet.file import (
    BATCH_ROWS_WITH_PICTURES,
    BROKEN,
    InputParquet,
    open_parquet,
)
from tamis.pipeline.inputs.picture_formats import SUFFIXES
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import require_content
from tamis.schemas.errors import InputError


def pictures(file: InputFile, rows: pa.Table) -> Iterator[bytes]:
    """The bytes of each row's picture."""
    path = storage.redact(file.path)
    try:
        for data, digest in zip(_cells(file, rows), rows["sha256"], strict=True):
            check_same(file, [data], [digest.as_py()])
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


def _cells(file: InputFile, rows: pa.Table) -> Iterator[bytes]:
    """The pictures of rows, row group by row group; ValueError where the file has fewer rows."""
    groups, group_rows = rows["row_group"].to_numpy(), rows["group_row"].to_numpy()
    with open_parquet(file.path) as parquet:
        column = file.reading.column("image", parquet.schema_arrow.names)
        if column is None:
            raise InputError(
                f"`{storage.redact(file.path)}` has no column of pictures any more: "
                "run again with --accept-changed"
            )
        nested = pa.types.is_struct(parquet.schema_arrow.field(column).type)
        name = f"{column}.bytes" if nested else column
        for group in np.unique(groups).tolist():
            if group >= parquet.num_row_groups:
                raise ValueError(f"row group {group} is gone")
            yield from _of_group(parquet, group, name, group_rows[groups == group])


def _of_group(
    parquet: InputParquet, group: int, name: str, wanted: npt.NDArray[np.int64]
) -> Iterator[bytes]:
    """The cells of one column in some rows of a row group, decoded no further than the last of them."""
    start = 0
    rows = batch_rows(parquet, group, [name], BATCH_ROWS_WITH_PICTURES)
    for batch in parquet.iter_batches(rows, [group], [name], use_threads=False):
        column = batch.column(0)
        values = column.field("bytes") if pa.types.is_struct(column.type) else column
        for row in wanted[(wanted >= start) & (wanted < start + len(values))].tolist():
            yield values[row - start].as_py() or b""  # empty for null, which no picture's hash fits
        start += len(values)
        if start > wanted[-1]:
            return
    raise ValueError(f"row {start} of row group {group} is gone")
