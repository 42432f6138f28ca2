"""The way back from rows to bytes: range reads of the living alone, merged over small gaps.

Rows are of one part, in order; bytes come in the same order, a bounded chunk at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from pipeline import storage
from pipeline.formats.parquet import BATCH_ROWS_WITH_PICTURES, open_parquet
from pipeline.formats.sources import Source
from schemas.errors import InputError
from schemas.tables import find_column

CHUNK_BYTES = 32 << 20
"""Of members that are held at a time (one larger member is held alone)."""

PICTURE_COLUMNS = ["image_offset", "image_size", "sha256", "row_group", "group_row"]
MEMBER_COLUMNS = [*PICTURE_COLUMNS, "members", "text", "image_format", "url"]

SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}
"""How a picture's format is written as a file's ending, where that is not its name."""

Sample = list[tuple[str, bytes]]
"""The members of a sample: (suffix, bytes)."""


def pictures(source: Source, rows: pa.Table) -> Iterator[bytes]:
    """The bytes of each row's picture. ``rows`` has PICTURE_COLUMNS, and is in the file's order.

    Raises:
        InputError: the file no longer holds what ingest found in it.
    """
    if source.kind == "parquet":
        found = _cells(source, rows)
    else:
        starts, sizes = rows["image_offset"].to_pylist(), rows["image_size"].to_pylist()
        ranges = [[item] for item in zip(starts, sizes, strict=True)]
        found = (data for chunk in _chunks(ranges) for data in _read(source, chunk))
    for data, known in zip(found, rows["sha256"], strict=True):
        _check(source, data, known.as_py())
        yield data


def members(source: Source, rows: pa.Table) -> Iterator[Sample]:
    """All members of each row's sample, with their original bytes. ``rows`` has MEMBER_COLUMNS.

    A parquet row becomes the picture's bytes and the caption as ``txt``.

    Raises:
        InputError: as ``pictures``.
    """
    if source.kind == "parquet":
        formats = rows["image_format"].to_pylist()
        texts = rows["text"].to_pylist()
        for data, name, text in zip(pictures(source, rows), formats, texts, strict=True):
            yield [(SUFFIXES.get(name, name), data), ("txt", (text or "").encode())]
        return
    listed = rows["members"].to_pylist()
    images, hashes = rows["image_offset"].to_pylist(), rows["sha256"].to_pylist()
    samples = zip(listed, images, hashes, strict=True)
    for chunk in _chunks([[(m["offset"], m["size"]) for m in sample] for sample in listed]):
        held = iter(_read(source, chunk))
        for _ in chunk:
            sample, image, known = next(samples)
            made = [(member["suffix"], next(held)) for member in sample]
            for member, (_, data) in zip(sample, made, strict=True):
                if member["offset"] == image:
                    _check(source, data, known)
            yield made


def _check(source: Source, data: bytes, known: bytes) -> None:
    if hashlib.sha256(data).digest() != known:
        raise InputError(
            f"`{storage.redact(source.path)}` has changed since it was ingested: a picture is not "
            "the one whose hash was recorded; run again with --accept-changed"
        )


def _read(source: Source, chunk: list[list[storage.Range]]) -> list[bytes]:
    return storage.read_ranges(source.path, [item for ranges in chunk for item in ranges])


def _chunks(ranges: Sequence[list[storage.Range]]) -> Iterator[list[list[storage.Range]]]:
    """Samples' ranges, as many at a time as CHUNK_BYTES holds, gaps that are read along included."""
    chunk: list[list[storage.Range]] = []
    held, end = 0, -storage.MERGE_GAP - 1
    for sample in ranges:
        size = 0
        for offset, length in sample:
            gap = max(0, offset - end)
            size += length + (gap if gap <= storage.MERGE_GAP else 0)
            end = offset + length
        if chunk and held + size > CHUNK_BYTES:
            yield chunk
            chunk, held = [], 0
        chunk.append(sample)
        held += size
    if chunk:
        yield chunk


def _cells(source: Source, rows: pa.Table) -> Iterator[bytes]:
    """The pictures of parquet rows, row group by row group."""
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
