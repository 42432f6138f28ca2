"""How the similarities of a cluster's members are cut: tiles whose shape follows from the cluster's size alone."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Fetch = Callable[[int, int], NDArray[np.floating]]
"""(start, stop) -> the embeddings of these places of a cluster's order, (stop - start, d)."""

ROWS = 8
"""Rows of tiles that share one converted block of columns."""

_SIDES = (64, 128, 256, 512, 1024)


def piece(n: int) -> int:
    """Places that are computed together in a cluster of n: what tasks may be cut at."""
    return side(n) * ROWS


def side(n: int) -> int:
    """Choose the tile's side: a quarter of a small cluster, so that little is padding."""
    return next((tile for tile in _SIDES if n <= 4 * tile), _SIDES[-1])


def not_finite(place: int) -> str:
    """What is said of an embedding that cannot be compared."""
    return f"the embedding at place {place} of the order is not finite; leave it out"
