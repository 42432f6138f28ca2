"""Ranks of samples inside their clusters: rank 1 is kept first."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.order import check_uid, descending, hashed

Which = Literal["hard", "easy", "random"]


def keys(
    distance: NDArray[np.floating], uid: NDArray[np.uint64], which: Which = "hard", seed: int = 0
) -> NDArray[np.uint64]:
    """Keys in whose ascending order samples are kept: uint64 (n,).

    With (key, uid) a cluster's verdict is one cut, and a cut over many parts can be found by counting keys.

    Args:
        distance: (n,) 1 - <x, c>.
        uid: uint64 (n, 2).
        which: "hard" keeps the farthest first, "easy" the nearest, "random" the smallest hash of seed and uid.
        seed: the job's, for "random".

    Raises:
        ValueError: a distance that is not finite, or an unknown `which`.
    """
    check_uid(uid)
    if which == "hard":
        return descending(distance, "distance")
    if which == "easy":
        return descending(-distance, "distance")
    if which == "random":
        return hashed(uid, seed, "ranks")
    raise ValueError(f"which is {which!r}, and must be hard, easy or random")


def ranks(
    cluster: NDArray[np.int32],
    distance: NDArray[np.floating],
    uid: NDArray[np.uint64],
    which: Which = "hard",
    seed: int = 0,
) -> NDArray[np.int64]:
    """Rank of every sample inside its cluster, int32 (n,): int64 (n,), 1 for the first to be kept.

    Other arguments as `keys`; equal distances are ordered by uid, smallest first.
    """
    return within(cluster, keys(distance, uid, which, seed), uid)


def within(
    group: NDArray[np.int32], key: NDArray[np.uint64], uid: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Rank of every sample inside its group by ascending (key, uid): int64 (n,), from 1."""
    order = np.lexsort((uid[:, 1], uid[:, 0], key, group))
    ordered = group[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(first)
    lengths = np.diff(starts, append=len(order))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(1, len(order) + 1) - np.repeat(starts, lengths)
    return rank
