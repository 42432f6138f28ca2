"""The way back from rows to bytes: range reads of the living alone, merged over small gaps.

Rows are of one part, in order; bytes come in the same order, a bounded chunk at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet import BATCH_ROWS_WITH_PICTURES, open_parquet
from tamis.pipeline.store import ranges, storage
from tamis.schemas.errors import InputError
from tamis.schemas.tables import find_column

CHUNK_BYTES = 32 << 20
"""Of members that are held at a time (one larger member is held alone): a store is asked for that much at once."""

DISK_CHUNK_BYTES = 4 << 20
"""The same of a file on this machine: what was read is hashed and copied while the processor's cache holds it."""

PICTURE_COLUMNS = ["image_offset", "image_size", "sha256", "row_group", "group_row"]
MEMBER_COLUMNS = [*PICTURE_COLUMNS, "members", "text", "image_format", "url"]

SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}
"""How a picture's format is written as a file's ending, where that is not its name."""

Buffer = bytes | memoryview

Sample = list[tuple[str, Buffer]]
"""The members of a sample: (suffix, bytes). A view keeps the chunk that it is of."""


def pictures(source: InputFile, rows: pa.Table) -> Iterator[bytes]:
    """The bytes of each row's picture. ``rows`` has PICTURE_COLUMNS, and is in the file's order.

    Raises:
        InputError: the file no longer holds what ingest found in it.
    """
    if source.kind == "parquet":
        for data, known in zip(_cells(source, rows), rows["sha256"], strict=True):
            _check(source, [data], [known.as_py()])
            yield data
        return
    spans = np.stack([rows[name].to_numpy() for name in ("image_offset", "image_size")], axis=1)
    hashes = rows["sha256"].to_numpy()
    for first, stop in _chunks(source, spans, np.arange(len(spans) + 1)):
        views = ranges.read_ranges(source.path, spans[first:stop])
        for view, known in zip(views, hashes[first:stop], strict=True):
            data = bytes(view)  # not the whole chunk goes where this one goes
            _check(source, [data], [known])
            yield data


def members(source: InputFile, rows: pa.Table) -> Iterator[Sample]:
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
    listed = rows["members"].combine_chunks()
    flat = listed.flatten()
    spans = np.stack([flat.field(name).to_numpy() for name in ("offset", "size")], axis=1)
    suffixes = flat.field("suffix").to_pylist()
    bounds = np.append(0, np.cumsum(pc.list_value_length(listed).to_numpy()))
    images = np.repeat(rows["image_offset"].to_numpy(), np.diff(bounds)) == spans[:, 0]
    hashes = rows["sha256"].to_numpy()
    for first, stop in _chunks(source, spans, bounds):
        start, end = bounds[first], bounds[stop]
        views = ranges.read_ranges(source.path, spans[start:end])
        checked = [views[place] for place in np.flatnonzero(images[start:end]).tolist()]
        _check(source, checked, hashes[first:stop])
        found: Sample = list(zip(suffixes[start:end], views, strict=True))
        for low, high in pairwise((bounds[first : stop + 1] - start).tolist()):
            yield found[low:high]


def _check(source: InputFile, pictures: Iterable[Buffer], known: Iterable[bytes]) -> None:
    for data, digest in zip(pictures, known, strict=True):
        if hashlib.sha256(data).digest() != digest:
            raise InputError(
                f"`{storage.redact(source.path)}` has changed since it was ingested: a picture is not "
                "the one whose hash was recorded; run again with --accept-changed"
            )


def _chunks(
    source: InputFile, spans: npt.NDArray[np.int64], bounds: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Samples from and to, as many at a time as a chunk holds, gaps that are read along included.

    ``spans`` (n, 2) are offsets and sizes of all their members, those of sample i from ``bounds[i]`` to the next.
    """
    limit = DISK_CHUNK_BYTES if storage.is_local(source.path) else CHUNK_BYTES
    gaps = np.maximum(spans[1:, 0] - spans[:-1].sum(axis=1), 0)
    sizes = spans[:, 1].copy()
    sizes[1:] += np.where(gaps <= ranges.MERGE_GAP, gaps, 0)
    ends = np.append(0, np.cumsum(sizes))[bounds]
    first = 0
    while first < len(ends) - 1:
        full = int(np.searchsorted(ends, ends[first] + limit, side="right")) - 1
        stop = max(full, first + 1)
        yield first, stop
        first = stop


def _cells(source: InputFile, rows: pa.Table) -> Iterator[bytes]:
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
