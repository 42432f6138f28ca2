"""Membership of keys in a sorted list, keys of 16 bytes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import Int64Array

BYTES = 16

Keys = NDArray[np.bytes_]
"""(n,) of dtype S16: they sort as their bytes do."""


def keys(raw: bytes) -> Keys:
    """Keys from their bytes, one after another: a view, (n,)."""
    return np.frombuffer(raw, dtype=f"S{BYTES}")


def positions(listed: Keys, wanted: Keys) -> Int64Array:
    """The position of each wanted key in a list, int64 (n,); -1 where it is not there.

    Args:
        listed: (m,) sorted, each once.
        wanted: (n,) in any order.
    """
    if not len(listed):
        return np.full(len(wanted), -1, np.int64)
    place: NDArray[Any] = np.minimum(np.searchsorted(listed, wanted), len(listed) - 1)
    return np.where(listed[place] == wanted, place, -1).astype(np.int64)
