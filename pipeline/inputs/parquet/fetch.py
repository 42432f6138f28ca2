"""The way back from rows to a parquet file's pictures: of its row groups no more is decoded than has to be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

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
    for data, known in zip(_cells(source, rows), rows["sha256"], strict=True):
        check_same(source, [data], [known.as_py()])
        yield data


def members(source: InputFile, rows: pa.Table) -> Iterator[Sample]:
    """The picture's bytes, and the caption as ``txt``."""
    formats = rows["image_format"].to_pylist()
    texts = rows["text"].to_pylist()
    for data, name, text in zip(pictures(source, rows), formats, texts, strict=True):
        yield [(SUFFIXES.get(name, name), data), ("txt", (text or "").encode())]


def _cells(source: InputFile, rows: pa.Table) -> Iterator[bytes]:
    """The pictures of rows, row group by row group."""
    groups, places = rows["row_group"].to_numpy(), rows["group_row"].to_numpy()
    with open_parquet(source.path) as file:
        column = find_column("image", file.schema_arrow.names)
        if column is None:
            raise InputError(
                f"`{storage.redact(source.path)}` has no column of pictures any more: "
                "run again with --accept-changed"
            )
        nested = pa.types.is_struct(file.schema_arrow.field(column).type)
        for group in np.unique(groups):
            wanted = places[groups == group]
            start = 0
            for batch in file.iter_batches(
                BATCH_ROWS_WITH_PICTURES,
                [int(group)],
                [f"{column}.bytes" if nested else column],
                use_threads=False,
            ):
                values = batch.column(0).field("bytes") if nested else batch.column(0)
                for place in wanted[(wanted >= start) & (wanted < start + len(values))]:
                    yield values[int(place) - start].as_py()
                start += len(values)
                if start > wanted[-1]:
                    break
