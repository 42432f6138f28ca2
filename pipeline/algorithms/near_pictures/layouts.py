"""Layouts: how light and colour are spread over a picture, in 162 bytes; what a perceptual hash proposes, they decide.

Light is kept of 16 x 16 cells, four bits a cell between the darkest and the lightest of them, and colour (Cb and Cr, as
in JPEG) of 4 x 4 cells, eight bits each. A drawing of thin lines has little contrast in its cells: so light is compared
relative to it. All sums are of whole numbers: a difference is the same in any order, on any machine.
"""

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import (
    BoolArray,
    Float64Array,
    Int64Array,
    UInt8Array,
    UInt64Array,
)
from tamis.pipeline.algorithms.hashing import mix64

SIDE = 16
"""Cells of light a side."""

COLOUR_SIDE = 4
"""Cells of colour a side."""

CELLS, COLOURS = SIDE * SIDE, 2 * COLOUR_SIDE * COLOUR_SIDE

BYTES = 2 + CELLS // 2 + COLOURS
"""Of a layout: the darkest and the lightest cell, two cells of light a byte, then the colours."""

_CHROMA = np.array([[-43, -85, 128], [128, -107, -21]], dtype=np.int64)
"""256ths of red, green and blue in Cb and in Cr, less 128."""

_LEVELS = 15
LEAST_CONTRAST = 24
"""Levels of 255; below it the noise of a JPEG does not shrink with the contrast."""

_SPREAD = 3.0
"""What the root mean square of light counts beside its largest difference."""

_COLOUR_SCALE = 64.0
"""Levels of Cb or Cr that count as much as the whole contrast of light: it is noisier, and told less finely by eyes."""

_PAIRS = 1 << 13
"""Pairs compared at once: their cells stay in the cache."""


def encode(light: UInt8Array, colour: UInt8Array) -> UInt8Array:
    """Layouts of pictures, uint8 (..., 162).

    Args:
        light: uint8 (..., 16, 16), grey levels.
        colour: uint8 (..., 4, 4, 3), RGB.
    """
    cells = light.reshape(-1, CELLS)
    low, high = cells.min(axis=1, keepdims=True), cells.max(axis=1, keepdims=True)
    spread = np.maximum(1, (high - low).astype(np.int32))
    level = ((2 * _LEVELS * (cells - low).astype(np.int32) + spread) // (2 * spread)).astype(
        np.uint8
    )
    colours = chroma(colour.reshape(len(cells), COLOUR_SIDE**2, 3)).reshape(len(cells), COLOURS)
    made = np.hstack([low, high, level[:, 0::2] << 4 | level[:, 1::2], colours])
    return made.reshape(*light.shape[:-2], BYTES)


def chroma(colour: UInt8Array) -> UInt8Array:
    """Cb and Cr of RGB pixels, (..., pixels, 3): uint8 (..., 2, pixels)."""
    levels = 128 + ((_CHROMA @ np.swapaxes(colour, -1, -2).astype(np.int64)) + 128 >> 8)
    found: UInt8Array = np.clip(levels, 0, 255).astype(np.uint8)
    return found


def difference(layouts: UInt8Array, a: Int64Array, b: Int64Array) -> Float64Array:
    """Difference of pairs of pictures: float64 (p,), 0 for equal layouts, 1 where a cell differs by all the contrast.

    The largest of three: a cell's difference in light as a share of the contrast, three times the root mean square of
    these, and a cell's difference in colour over 64 levels. Contrast is the smaller of the two pictures', 24 at least.

    Args:
        layouts: uint8 (n, 162), by `encode`.
        a: int64 (p,), rows.
        b: int64 (p,), rows.
    """
    result = np.empty(len(a), dtype=np.float64)
    for start in range(0, len(a), _PAIRS):
        part = slice(start, start + _PAIRS)
        left, right = layouts[a[part]], layouts[b[part]]
        light = np.abs(_light(left) - _light(right)).astype(np.int32)
        contrast = _LEVELS * np.minimum(_contrast(left), _contrast(right))
        square = np.einsum("ij,ij->i", light, light, dtype=np.int64)
        shade = np.abs(left[:, -COLOURS:].astype(np.int16) - right[:, -COLOURS:])
        result[part] = np.maximum.reduce(
            [
                light.max(axis=1) / contrast,
                _SPREAD * np.sqrt(square / CELLS) / contrast,
                shade.max(axis=1) / _COLOUR_SCALE,
            ]
        )
    return result


def possible(layouts: UInt8Array, a: Int64Array, b: Int64Array, bound: float) -> BoolArray:
    """Mark the pairs (p,) that may be within the bound by an eighth of their cells: bool (p,), at less cost."""
    result = np.empty(len(a), dtype=bool)
    for start in range(0, len(a), 8 * _PAIRS):
        part = slice(start, start + 8 * _PAIRS)
        left, right = layouts[a[part]], layouts[b[part]]
        apart = np.abs(_light(left, 8) - _light(right, 8)).max(axis=1)
        contrast = _LEVELS * np.minimum(_contrast(left), _contrast(right))
        result[part] = apart / contrast <= bound
    return result


def mean_light(layouts: UInt8Array) -> Float64Array:
    """Mean light of the cells in grey levels, float64 (n,): of a pair within a bound by how much see `mean_within`."""
    mean: Float64Array = _light(layouts).mean(axis=1) / _LEVELS
    return mean


def mean_within(bound: float) -> float:
    """Most grey levels by which the mean light of a pair within the bound differs."""
    return 255.0 * bound / _SPREAD


def _light(layouts: UInt8Array, step: int = 1) -> NDArray[np.int16]:
    """Light of the cells of every step-th byte in fifteenths of a level: int16 (n, 256 / step), even before odd."""
    low, high = layouts[:, :1].astype(np.int16), layouts[:, 1:2].astype(np.int16)
    packed = layouts[:, 2 : 2 + CELLS // 2 : step]
    level = np.concatenate([packed >> 4, packed & 15], axis=1).astype(np.int16)
    light: NDArray[np.int16] = _LEVELS * low + level * (high - low)
    return light


def _contrast(layouts: UInt8Array) -> NDArray[np.int64]:
    """Contrast of each layout in grey levels, at least the least that counts: int64 (n,)."""
    spread = layouts[:, 1].astype(np.int64) - layouts[:, 0]
    contrast: Int64Array = np.maximum(spread, LEAST_CONTRAST)
    return contrast


def keys(layouts: UInt8Array, hashes: UInt64Array) -> UInt64Array:
    """Keys of layouts (n, 162) and perceptual hashes (n,) together: uint64 (n,), equal for equal ones."""
    padded = np.zeros((len(layouts), -(-BYTES // 8) * 8), dtype=np.uint8)
    padded[:, :BYTES] = layouts
    key = mix64(hashes + np.uint64(1))
    for word in padded.view("<u8").T:
        key = mix64(key ^ word) + np.uint64(0x9E3779B97F4A7C15)
    return key


class Sieve:
    """Blocks of pairs, most of which a matrix product excludes: those whose light differs too much on the whole.

    Args:
        layouts: uint8 (n, 162), by `encode`.
        bound: largest `difference` of a pair that has to pass.
    """

    def __init__(self, layouts: UInt8Array, bound: float) -> None:
        self._light = _light(layouts).astype(np.float32)
        self._square = np.einsum("ij,ij->i", self._light, self._light)
        most = bound / _SPREAD * _LEVELS * _contrast(layouts).astype(np.float64)
        # Twice the rounding error of the product of such numbers in float32.
        self._most = (CELLS * most**2 + 1e-5 * self._square).astype(np.float32)

    def passing(self, rows: slice, columns: slice) -> BoolArray:
        """Pairs that may be within the bound: bool (rows, columns)."""
        products = self._light[rows] @ self._light[columns].T
        products *= -2
        products += self._square[rows, None]
        products += self._square[columns]
        passing: BoolArray = products <= self._most[rows, None] + 1e-5 * self._square[columns]
        return passing
