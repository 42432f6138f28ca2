"""Uniform random subsets, another one every epoch.

RS2, Okanovic et al., "Repeated random sampling for minimizing the time-to-accuracy of learning",
ICLR 2024: every epoch trains on its own random share of the data, drawn independently.
"""

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.order import hashed, row_mask, smallest


def keys(uid: NDArray[np.uint64], seed: int, epoch: int = 0) -> NDArray[np.uint64]:
    """Hashes of an epoch, uint64 (n,): the samples with the smallest are chosen; arguments as `select`."""
    return hashed(uid, seed, f"random/{epoch}")


def select(uid: NDArray[np.uint64], count: int, seed: int, epoch: int = 0) -> NDArray[np.bool_]:
    """Choose `count` samples uniformly: bool (n,), the same for any order of rows.

    A smaller count chooses a subset of a larger one; two epochs choose independently.

    Args:
        uid: uint64 (n, 2).
        count: 0..n.
        seed: the job's.
        epoch: number of the epoch, from 0.
    """
    return row_mask(smallest(keys(uid, seed, epoch), uid, count), len(uid))
