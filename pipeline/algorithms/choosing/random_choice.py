"""A uniform random subset, and a fresh one every epoch.

RS2, Okanovic et al., "Repeated random sampling for minimizing the time-to-accuracy of learning",
ICLR 2024: every epoch trains on its own random share of the data, drawn independently.
"""

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.order import chosen, hashed, smallest


def keys(uid: NDArray[np.uint64], seed: int, epoch: int = 0) -> NDArray[np.uint64]:
    """The hashes whose smallest are chosen in an epoch: uint64 (n,)."""
    return hashed(uid, seed, f"random/{epoch}")


def select(uid: NDArray[np.uint64], count: int, seed: int, epoch: int = 0) -> NDArray[np.bool_]:
    """A uniform choice of `count` samples: bool (n,), the same in any order of rows.

    A smaller count chooses a subset of a larger one; two epochs choose independently.

    Args:
        uid: uint64 (n, 2).
        count: 0..n.
        seed: the job's.
        epoch: 0-based.
    """
    return chosen(smallest(keys(uid, seed, epoch), uid, count), len(uid))
