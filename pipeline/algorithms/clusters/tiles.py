"""Tiles of a cluster's similarity matrix: their shape depends on the cluster's size alone."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Fetch = Callable[[int, int], NDArray[np.floating]]
"""(start, stop) -> embeddings (stop - start, d) at these positions of a cluster's order."""

ROWS = 8
"""Rows of tiles that share one converted block of columns."""

_SIDES = (64, 128, 256, 512, 1024)


def piece(n: int) -> int:
    """Positions that are computed together in a cluster of n; tasks start and stop at multiples of it."""
    return side(n) * ROWS


def side(n: int) -> int:
    """Side of a tile in a cluster of n: a quarter of a small cluster or more, so that little is padding."""
    return next((tile for tile in _SIDES if n <= 4 * tile), _SIDES[-1])


def not_finite(position: int) -> str:
    """Error message for an embedding that cannot be compared."""
    return f"the embedding at position {position} of the order is not finite; leave it out"
