"""Details: light and colour of a picture's small cells, kept of those pictures alone whose layouts are near another's.

What a layout of 16 x 16 cells lets pass, another digit on a sign or another face, is a large difference of a few cells
at 32 or 48 a side. How fine two pictures can be compared depends on the smaller: a cell of less than two pixels differs
after any resizing. All numbers are whole until the last division: a difference is the same on any machine.
"""

from typing import NamedTuple

import numpy as np

from tamis.pipeline.algorithms.arrays import Float64Array, Int64Array, UInt8Array
from tamis.pipeline.algorithms.near_pictures.layouts import LEAST_CONTRAST, chroma

COARSE, FINE, COLOUR = 32, 48, 12
"""Cells a side: of light, where both pictures are small and where both are large, and of colour."""

LEAST_SIDE, FINE_SIDE = 48, 96
"""Pixels of the shorter side from which pictures are compared at all, and by FINE cells too."""

_FINE_WEIGHT = 0.75
"""What a fine cell's difference counts beside a coarse one's: compression and resizing disturb it more."""

_COLOUR_SCALE = 45.0
"""Levels of Cb or Cr that count as much as the whole contrast of light."""

_PAIRS = 1 << 9
"""Pairs compared at once: their cells stay in the cache."""


class Cells(NamedTuple):
    """What is compared of a picture.

    Args:
        side: pixels of its shorter side.
        coarse: uint8 (32, 32), grey levels.
        fine: uint8 (48, 48), grey levels.
        colour: uint8 (12, 12, 3), RGB.
    """

    side: int
    coarse: UInt8Array
    fine: UInt8Array
    colour: UInt8Array


_ENDS = np.cumsum([2, COARSE**2, FINE**2, 2 * COLOUR**2])
BYTES = int(_ENDS[-1])
"""Of a detail: the shorter side in two bytes, coarse light, fine light, Cb and Cr."""


def encode(cells: Cells) -> bytes:
    """Detail of a picture."""
    side = min(cells.side, 2**16 - 1).to_bytes(2, "little")
    colour = chroma(cells.colour.reshape(-1, 3))
    return b"".join((side, cells.coarse.tobytes(), cells.fine.tobytes(), colour.tobytes()))


def difference(details: UInt8Array, a: Int64Array, b: Int64Array) -> Float64Array:
    """Difference of pairs of pictures in their details: float64 (p,), 0 for equal ones.

    The largest of a coarse cell's difference in light as a share of the contrast, three quarters of a fine cell's where
    both pictures have 96 pixels a side or more, and the difference in colour that four neighbouring cells share, over
    45 levels: compression disturbs single ones. Contrast is the smaller of the two pictures', 24 levels at least. 0
    where one has less than 48 pixels a side: it has no detail.

    Args:
        details: uint8 (n, BYTES), by `encode`.
        a: int64 (p,), rows.
        b: int64 (p,), rows.
    """
    result = np.empty(len(a), dtype=np.float64)
    for start in range(0, len(a), _PAIRS):
        part = slice(start, start + _PAIRS)
        left, right = (np.split(details[rows[part]], _ENDS[:-1], axis=1) for rows in (a, b))
        side = np.minimum(_side(left[0]), _side(right[0]))
        coarse, fine = (_light(left[kind], right[kind]) for kind in (1, 2))
        colour = _shared(left[3], right[3]) / _COLOUR_SCALE
        fine[side < FINE_SIDE] = 0.0
        largest = np.maximum.reduce([coarse, _FINE_WEIGHT * fine, colour])
        result[part] = np.where(side < LEAST_SIDE, 0.0, largest)
    return result


def _side(stored: UInt8Array) -> Int64Array:
    side: Int64Array = stored[:, 0].astype(np.int64) | stored[:, 1].astype(np.int64) << 8
    return side


def _light(left: UInt8Array, right: UInt8Array) -> Float64Array:
    """The largest difference of a cell as a share of the contrast: float64 (p,)."""
    contrast = [cells.max(axis=1).astype(np.int64) - cells.min(axis=1) for cells in (left, right)]
    share: Float64Array = _largest(left, right) / np.maximum(np.minimum(*contrast), LEAST_CONTRAST)
    return share


def _shared(left: UInt8Array, right: UInt8Array) -> Int64Array:
    """The largest difference in Cb or Cr, of one sign, that 2 x 2 cells have at the least: int64 (p,)."""
    apart = (left.astype(np.int16) - right).reshape(-1, 2, COLOUR, COLOUR)
    last = COLOUR - 1
    four = [apart[:, :, i : i + last, j : j + last] for i in (0, 1) for j in (0, 1)]
    least, most = np.minimum.reduce(four), np.maximum.reduce(four)
    shared: Int64Array = np.maximum(least, -most).reshape(len(apart), -1).max(axis=1)
    return np.maximum(shared, 0).astype(np.int64)


def _largest(left: UInt8Array, right: UInt8Array) -> Int64Array:
    """The largest difference of a cell in levels: int64 (p,)."""
    largest: Int64Array = (np.maximum(left, right) - np.minimum(left, right)).max(axis=1)
    return largest.astype(np.int64)
