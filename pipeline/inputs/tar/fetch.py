"""The way back from rows to a tar's bytes: range reads of the living alone, merged over small gaps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.inputs.formats import Sample, check_same
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store import ranges, storage

CHUNK_BYTES = 32 << 20
"""Of members that are held at a time (one larger member is held alone): a store is asked for that much at once."""

DISK_CHUNK_BYTES = 4 << 20
"""The same of a file on this machine: what was read is hashed and copied while the processor's cache holds it."""


def pictures(source: InputFile, rows: pa.Table) -> Iterator[bytes]:
    """The bytes of each row's picture."""
    spans = np.stack([rows[name].to_numpy() for name in ("image_offset", "image_size")], axis=1)
    hashes = rows["sha256"].to_numpy()
    for first, stop in _chunks(source, spans, np.arange(len(spans) + 1)):
        views = ranges.read_ranges(source.path, spans[first:stop])
        for view, known in zip(views, hashes[first:stop], strict=True):
            data = bytes(view)  # not the whole chunk goes where this one goes
            check_same(source, [data], [known])
            yield data


def members(source: InputFile, rows: pa.Table) -> Iterator[Sample]:
    """All members of each row, in the order in which it lists them."""
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
        check_same(source, checked, hashes[first:stop])
        found: Sample = list(zip(suffixes[start:end], views, strict=True))
        for low, high in pairwise((bounds[first : stop + 1] - start).tolist()):
            yield found[low:high]


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
