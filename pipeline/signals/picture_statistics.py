"""Signals over pictures: of their luma, of its histogram, of their sides, and of a JPEG's tables.

All sums are exact integers and every logarithm is libm's, so values do not depend on the CPU's vector units.
Pixels are read in bands of rows of ``BAND_PIXELS``, which bound the memory beside the picture itself.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BAND_PIXELS = 1 << 15

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


class Detail(NamedTuple):
    """Blur, the variance of the grey picture's Laplacian, in squared grey levels; and noise, in grey levels."""

    blur: float
    noise: float


def detail(grey: Grey) -> Detail:
    """How a grey picture's pixels differ from their neighbours. Both values are of the stored resolution.

    ``blur``: variance of the 4-neighbour Laplacian; the lower, the blurrier. Pech-Pacheco et al. 2000 ("Diatom
    autofocusing in brightfield microscopy"). The border's pixels are repeated beyond the border.

    ``noise``: estimated standard deviation of the noise; NaN where a side is below 3. Immerkaer 1996 ("Fast noise
    variance estimation"): the mean of a difference of two Laplacians, which is 0 on flat surfaces and straight edges.
    Fine texture counts as noise.

    Raises:
        ValueError: ``grey`` is not (h, w) uint8 with at least one pixel.
    """
    if grey.ndim != 2 or grey.dtype != np.uint8 or not grey.size:
        raise ValueError(
            f"the grey picture is {grey.dtype} {grey.shape}: it has to be uint8 (height, width), not empty"
        )
    height, width = map(int, grey.shape)
    squares, residues = 0, 0
    for first, band in _bands(grey):
        across = _bend(band.T).T
        laplacian = _bend(band[:, 1:-1])
        laplacian += across[1:-1]
        # Whole numbers below 2^53 in all: floats add and multiply them exactly, in any order.
        values = laplacian.ravel().astype(np.float64)
        squares += int(values @ values)
        inner = across[first == 0 : len(across) - (first + len(laplacian) == height), 1:-1]
        residue = _bend(inner)
        np.abs(residue, out=residue)
        residues += int(residue.sum(dtype=np.int64))
    # The Laplacian's mean is 0: what a pixel is above its neighbour, that one is below it, and a border has no slope.
    blur = squares / int(grey.size)
    if min(height, width) < 3:
        return Detail(blur, math.nan)
    return Detail(blur, math.sqrt(math.pi / 2) * residues / (6 * (height - 2) * (width - 2)))


def _bend(rows: NDArray[np.int16]) -> NDArray[np.int16]:
    """(n - 2, w): each row's neighbours less twice the row itself."""
    slope = rows[1:] - rows[:-1]
    bend: NDArray[np.int16] = slope[1:] - slope[:-1]
    return bend


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
    return next(level for level, count in enumerate(accumulate(levels)) if count >= place) / 255


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


def _bands(grey: Grey) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """The picture in bands of rows: the first one's number, and the band with a frame of the pixels around it.

    Beyond the picture's border stand the border's pixels again.
    """
    height, width = grey.shape
    step = max(1, BAND_PIXELS // width)
    for first in range(0, height, step):
        stop = min(first + step, height)
        band = np.empty((stop - first + 2, width + 2), np.int16)
        band[1:-1, 1:-1] = grey[first:stop]
        band[0, 1:-1] = grey[max(first - 1, 0)]
        band[-1, 1:-1] = grey[min(stop, height - 1)]
        band[:, 0], band[:, -1] = band[:, 1], band[:, -2]
        yield first, band
