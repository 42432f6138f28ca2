"""Ids of samples within a run: the number of the part, and behind it the row in the part's ingest table.

A sid is an int64: the part in the upper half, the row in the lower. Sids in order are samples in the order of parts.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

BITS = 32
"""Bits of the row."""

Number = TypeVar("Number", int, npt.NDArray[np.int64])


def sid_of(part: int, row: int) -> int:
    """The sid of one sample."""
    return part << BITS | row


def sids_of(part: int | Rows, rows: Rows) -> Rows:
    """The sids (n,) of rows (n,) of one part, or of a part each."""
    return np.asarray(part, np.int64) << BITS | rows


def part_of(sid: Number) -> Number:
    """The part, or parts (n,), of sids."""
    return sid >> BITS


def row_of(sid: Number) -> Number:
    """The row, or rows (n,), of sids within their parts."""
    return sid & (1 << BITS) - 1


def span_of(part: int) -> tuple[int, int]:
    """The first sid that a part can have, and the first beyond it."""
    return sid_of(part, 0), sid_of(part + 1, 0)
