"""Signals over pictures: of their luma, of its histogram, of their sides, and of a JPEG's tables.

All sums are exact integers and every logarithm is libm's, so values do not depend on the CPU's vector units.
Pixels are read in bands of rows of ``BAND_PIXELS``, which bound the memory beside the picture itself.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

BAND_PIXELS = 1 << 16

_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip

Grey = NDArray[np.uint8]
"""The luma of a picture, (height, width)."""

Levels = Sequence[int]
"""The count of its pixels of each of 256 levels."""

Sides = NDArray[np.integer]


def blur(grey: Grey) -> float:
    """Variance of the grey picture's 4-neighbour Laplacian, in squared grey levels; the lower, the blurrier.

    Pech-Pacheco et al. 2000 ("Diatom autofocusing in brightfield microscopy"). The border's pixels are repeated
    beyond the border. The value depends on the resolution, which is that of the stored picture.

    Raises:
        ValueError: ``grey`` is not (h, w) uint8 with at least one pixel.
    """
    _check(grey)
    squares = 0
    for band in _bands(grey):
        middle = band[1:-1]
        laplacian = band[:-2] + band[2:]
        laplacian -= 4 * middle
        laplacian[:, 1:] += middle[:, :-1]
        laplacian[:, :-1] += middle[:, 1:]
        laplacian[:, 0] += middle[:, 0]
        laplacian[:, -1] += middle[:, -1]
        # Whole numbers below 2^53 in all: floats add and multiply them exactly, in any order.
        values = laplacian.ravel().astype(np.float64)
        squares += int(values @ values)
    # Their mean is 0: what a pixel is above its neighbour, that one is below it, and a border has no slope.
    return squares / int(grey.size)


def noise(grey: Grey) -> float:
    """Standard deviation of the noise in the grey picture, in grey levels; NaN where a side is below 3.

    Immerkaer 1996 ("Fast noise variance estimation"): the mean of a difference of two Laplacians, which is 0 on flat
    surfaces and straight edges. Fine texture counts as noise.

    Raises:
        ValueError: ``grey`` is not (h, w) uint8 with at least one pixel.
    """
    _check(grey)
    height, width = map(int, grey.shape)
    if min(height, width) < 3:
        return math.nan
    total, done = 0, 0
    for band in _bands(grey):
        across = band[:, :-2] + band[:, 2:]
        across -= 2 * band[:, 1:-1]
        residue = across[:-2] + across[2:]
        residue -= 2 * across[1:-1]
        np.abs(residue, out=residue)
        first, last = done == 0, done + len(residue) == height
        done += len(residue)
        total += int(residue[first : len(residue) - last].sum(dtype=np.int64))
    return math.sqrt(math.pi / 2) * total / (6 * (height - 2) * (width - 2))


def entropy(levels: Levels) -> float:
    """Shannon entropy of the grey picture's histogram of 256 levels, in bits: 0 (one level) to 8 (equal counts)."""
    count = sum(levels)
    shares = [level / count for level in levels if level]
    return math.fsum(share * -math.log2(share) for share in shares)


def dark(levels: Levels) -> float:
    """1 less the level that 99 in 100 pixels do not exceed, 0 to 1; the higher, the darker the lightest parts."""
    return 1 - _percentile(levels, 99)


def light(levels: Levels) -> float:
    """The level that 5 in 100 pixels do not exceed, 0 to 1; the higher, the lighter the darkest parts."""
    return _percentile(levels, 5)


def _percentile(levels: Levels, percent: int) -> float:
    place = -(-percent * sum(levels) // 100)
    return bisect_left(list(accumulate(levels)), place) / 255


def jpeg_quality(table: Sequence[int]) -> int:
    """The quality, 1 to 100, whose table in the JPEG group's own encoder is nearest to a luminance table of 64 numbers.

    That encoder's own tables give its quality exactly.
    """
    distances = np.abs(_jpeg_tables() - np.asarray(table, np.int64)).sum(axis=1)
    return int(distances.argmin()) + 1


@cache
def _jpeg_tables() -> NDArray[np.int64]:
    """(100, 64): the table of each quality, from that of annex K of the JPEG standard (ITU-T T.81)."""
    quality = np.arange(1, 101)[:, np.newaxis]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return ((np.array(_LUMINANCE) * scale + 50) // 100).clip(1, 255)


def min_side(width: Sides, height: Sides) -> NDArray[np.int32]:
    """The shorter side in pixels, int32 (n,)."""
    return np.minimum(width, height).astype(np.int32)


def max_side(width: Sides, height: Sides) -> NDArray[np.int32]:
    """The longer side in pixels, int32 (n,)."""
    return np.maximum(width, height).astype(np.int32)


def aspect_ratio(width: Sides, height: Sides) -> NDArray[np.float64]:
    """Longer side over shorter side, float64 (n,), at least 1; NaN where a side is not positive."""
    shorter = np.minimum(width, height).astype(np.float64)
    longer = np.maximum(width, height).astype(np.float64)
    ratio = np.full(shorter.shape, np.nan)
    np.divide(longer, shorter, out=ratio, where=shorter > 0)
    return ratio


def _check(grey: Grey) -> None:
    if grey.ndim != 2 or grey.dtype != np.uint8 or not grey.size:
        raise ValueError(
            f"the grey picture is {grey.dtype} {grey.shape}: it has to be uint8 (height, width), not empty"
        )


def _bands(grey: Grey) -> Iterator[NDArray[np.int16]]:
    """The picture in bands of rows, with one more row on either side (the border's rows are repeated)."""
    height, width = grey.shape
    step = max(1, BAND_PIXELS // width)
    for start in range(0, height, step):
        stop = min(start + step, height)
        band = grey[max(start - 1, 0) : stop + 1].astype(np.int16)
        above, below = band[: start == 0], band[len(band) - (stop == height) :]
        yield np.concatenate([above, band, below]) if len(above) or len(below) else band
