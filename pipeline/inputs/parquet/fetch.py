"""The way back from rows to a parquet file's pictures: of its row groups no more is decoded than has to be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.inputs.formats import Sample, check_same
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet.file import BATCH_ROWS_WITH_PICTURES, open_parquet
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tamis.schemas.tables import find_column

SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}
"""How a picture's format is written as a file's ending, where that is not its name."""


def pictures(source: InputFile, rows: pa.Table) -> Iterator[bytes]:
    """The bytes of each row's picture."""
    path = storage.redact(source.path)
    try:
        for data, known in zip(_cells(source, rows), rows["sha256"], strict=True):
            check_same(source, [data], [known.as_py()])
            yield data
    except (
        ValueError
    ) as error:  # pyarrow's own for what is no parquet file; one of the disk's may pass
        words = " ".join(str(error).split())
        raise InputError(
            f"`{path}` has changed since it was ingested: {words}; run again with --accept-changed"
        ) from error


def members(source: InputFile, rows: pa.Table) -> Iterator[Sample]:
    """The picture's bytes, and the caption as ``txt``."""
    formats = rows["image_format"].to_pylist()
    texts = rows["text"].to_pylist()
    for data, name, text in zip(pictures(source, rows), formats, texts, strict=True):
        yield [(SUFFIXES.get(name, name), data), ("txt", (text or "").encode())]


def _cells(source: InputFile, rows: pa.Table) -> Iterator[bytes]:
    """The pictures of rows, row group by row group; ValueError where the file has fewer rows."""
    groups, places = rows["row_group"].to_numpy(), rows["group_row"].to_numpy()
    with open_parquet(source.path) as file:
        column = find_column("image", file.schema_arrow.names)
        if column is None:
            raise InputError(
                f"`{storage.redact(source.path)}` has no column of pictures any more: "
                "run again with --accept-changed"
            )
        nested = pa.types.is_struct(file.schema_arrow.field(column).type)
        name = f"{column}.bytes" if nested else column
        for group in np.unique(groups).tolist():
            if group >= file.num_row_groups:
                raise ValueError(f"row group {group} is gone")
            yield from _of_group(file, group, name, places[groups == group])


def _of_group(
    file: pq.ParquetFile, group: int, name: str, wanted: npt.NDArray[np.int64]
) -> Iterator[bytes]:
    """The cells of one column in some rows of a row group, decoded no further than the last of them."""
    start = 0
    for batch in file.iter_batches(BATCH_ROWS_WITH_PICTURES, [group], [name], use_threads=False):
        column = batch.column(0)
        values = column.field("bytes") if pa.types.is_struct(column.type) else column
        for place in wanted[(wanted >= start) & (wanted < start + len(values))].tolist():
            yield (
                values[place - start].as_py() or b""
            )  # none is the hash of nothing, never of a picture
        start += len(values)
        if start > wanted[-1]:
            return
    raise ValueError(f"row {start} of row group {group} is gone")
