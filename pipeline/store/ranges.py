"""Many byte ranges of one file, read as few blocks: small gaps between them are read along."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tamis.pipeline.store import storage
from tamis.pipeline.store.storage import Range

Ranges = Sequence[Range] | npt.NDArray[np.int64]
"""(n, 2) of offset and size in bytes."""

MERGE_GAP = 256 << 10
"""Bytes: two ranges closer than this are read as one."""


def read_ranges(path: str, ranges: Ranges, merge_gap: int = MERGE_GAP) -> list[memoryview]:
    """The bytes of each range, in the order asked: views of the blocks, which live as long as one of theirs.

    Raises:
        InputError: the file is shorter.
    """
    wanted = np.asarray(ranges, dtype=np.int64).reshape(-1, 2)
    found = [memoryview(b"")] * len(wanted)
    places = np.flatnonzero(wanted[:, 1])
    blocks, of = _cover(wanted[places], merge_gap)
    asked = [(offset, size) for offset, size in blocks.tolist()]
    held = [memoryview(data) for data in storage.read_blocks(path, asked)]
    starts = wanted[places, 0] - blocks[of, 0]
    stops = starts + wanted[places, 1]
    columns = (column.tolist() for column in (places, of, starts, stops))
    for place, block, start, stop in zip(*columns, strict=True):
        found[place] = held[block][start:stop]
    return found


def _cover(
    ranges: npt.NDArray[np.int64], gap: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """The merged ranges (m, 2) in order, and for each of ``ranges`` the one that holds it."""
    order = np.argsort(ranges[:, 0], kind="stable")
    starts = ranges[order, 0]
    ends = np.maximum.accumulate(starts + ranges[order, 1])
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = starts[1:] > ends[:-1] + gap
    heads = np.flatnonzero(begins)
    tails = np.append(heads[1:], len(order))[: len(heads)] - 1
    of = np.empty(len(order), dtype=np.intp)
    of[order] = np.cumsum(begins) - 1
    return np.stack([starts[heads], ends[tails] - starts[heads]], axis=1), of
