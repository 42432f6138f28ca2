"""Byte ranges of one file, read as few blocks, with the small gaps between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tamis.pipeline.store import storage
from tamis.pipeline.store.storage import Range

Ranges = Sequence[Range] | npt.NDArray[np.int64]
"""(n, 2) offsets and sizes in bytes."""

MERGE_GAP = 256 << 10
"""Largest gap in bytes between two ranges that are read as one."""


def read_ranges(path: str, ranges: Ranges, merge_gap: int = MERGE_GAP) -> list[memoryview]:
    """The bytes of each range, in the order of ``ranges``: views of the blocks, which live as long as any view.

    Raises:
        InputError: the file is shorter.
    """
    spans = np.asarray(ranges, dtype=np.int64).reshape(-1, 2)
    views = [memoryview(b"")] * len(spans)
    rows = np.flatnonzero(spans[:, 1])
    blocks, holder = merged(spans[rows], merge_gap)
    requests = [(offset, size) for offset, size in blocks.tolist()]
    data = [memoryview(buffer) for buffer in storage.read_blocks(path, requests)]
    starts = spans[rows, 0] - blocks[holder, 0]
    stops = starts + spans[rows, 1]
    columns = (column.tolist() for column in (rows, holder, starts, stops))
    for row, block, start, stop in zip(*columns, strict=True):
        views[row] = data[block][start:stop]
    return views


def merged(of: Ranges, gap: int = MERGE_GAP) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """The merged ranges (m, 2), in order of offset, and (n,) the index of the one that holds each of ``of``."""
    ranges = np.asarray(of, dtype=np.int64).reshape(-1, 2)
    order = np.argsort(ranges[:, 0], kind="stable")
    starts = ranges[order, 0]
    ends = np.maximum.accumulate(starts + ranges[order, 1])
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = starts[1:] > ends[:-1] + gap
    heads = np.flatnonzero(begins)
    tails = np.append(heads[1:], len(order))[: len(heads)] - 1
    holder = np.empty(len(order), dtype=np.intp)
    holder[order] = np.cumsum(begins) - 1
    return np.stack([starts[heads], ends[tails] - starts[heads]], axis=1), holder
