"""Signals over pictures: of their pixels, uint8 RGB (height, width, 3), and of their sides.

All sums are exact integers and every logarithm is libm's, so values do not depend on the CPU's vector units.
Pixels are read in bands of rows of ``BAND_PIXELS``, which bound the memory beside the picture itself.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

BAND_PIXELS = 1 << 20

_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip

Pixels = NDArray[np.uint8]
Sides = NDArray[np.integer]


def grey(pixels: Pixels) -> Pixels:
    """Luma, uint8 (h, w), of RGB pixels, uint8 (h, w, 3): ITU-R BT.601 in 16-bit fixed point, as Pillow's mode L."""
    rgb = pixels.astype(np.uint32)
    luma = rgb[..., 0] * 19595 + rgb[..., 1] * 38470 + rgb[..., 2] * 7471 + 0x8000
    return (luma >> 16).astype(np.uint8)


def blur(pixels: Pixels) -> float:
    """Variance of the grey picture's 4-neighbour Laplacian, in squared grey levels; the lower, the blurrier.

    Pech-Pacheco et al. 2000 ("Diatom autofocusing in brightfield microscopy"). The border's pixels are repeated
    beyond the border. The value depends on the resolution, which is that of the stored picture.

    Raises:
        ValueError: ``pixels`` is not (h, w, 3) uint8 with at least one pixel.
    """
    _check(pixels)
    total, squares = 0, 0
    for band in _grey_bands(pixels, halo=1):
        padded = np.pad(band.astype(np.int32), ((0, 0), (1, 1)), mode="edge")
        centre = padded[1:-1, 1:-1]
        around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
        laplacian = (around - 4 * centre).astype(np.int64)
        total += int(laplacian.sum())
        squares += int((laplacian * laplacian).sum())
    count = int(pixels.shape[0] * pixels.shape[1])
    return (count * squares - total * total) / (count * count)


def entropy(pixels: Pixels) -> float:
    """Shannon entropy of the grey picture's histogram of 256 levels, in bits: 0 (one level) to 8 (equal counts).

    Raises:
        ValueError: ``pixels`` is not (h, w, 3) uint8 with at least one pixel.
    """
    _check(pixels)
    histogram = np.zeros(256, dtype=np.int64)
    for band in _grey_bands(pixels, halo=0):
        histogram += np.bincount(band.ravel(), minlength=256)
    count = pixels.shape[0] * pixels.shape[1]
    shares = [int(level) / count for level in histogram if level]
    return math.fsum(share * -math.log2(share) for share in shares)


def dark(pixels: Pixels) -> float:
    """1 less the brightness that 99 in 100 pixels do not exceed, 0 to 1; the higher, the darker the lightest parts.

    Brightness of a pixel is sqrt(.241 R^2 + .691 G^2 + .068 B^2) / 255 (Finley 2006), in 256 levels.

    Raises:
        ValueError: ``pixels`` is not (h, w, 3) uint8 with at least one pixel.
    """
    return 1 - _brightness(pixels, 99)


def light(pixels: Pixels) -> float:
    """The brightness that 5 in 100 pixels do not exceed, 0 to 1; the higher, the lighter the darkest parts.

    Raises:
        ValueError: as ``dark``.
    """
    return _brightness(pixels, 5)


def _brightness(pixels: Pixels, percent: int) -> float:
    _check(pixels)
    histogram = np.zeros(256, dtype=np.int64)
    for band in _bands(pixels):
        squares = band.astype(np.uint32) ** 2
        weighted = squares[..., 0] * 241 + squares[..., 1] * 691 + squares[..., 2] * 68
        # Square roots are rounded alike on every processor.
        levels = np.sqrt(weighted / 1000).astype(np.intp)
        histogram += np.bincount(levels.ravel(), minlength=256)
    place = -(-percent * int(histogram.sum()) // 100)
    return int(np.searchsorted(np.cumsum(histogram), place)) / 255


def grey_share(pixels: Pixels) -> float:
    """Share of the pixels whose three channels are equal, 0 to 1.

    Raises:
        ValueError: ``pixels`` is not (h, w, 3) uint8 with at least one pixel.
    """
    _check(pixels)
    count = 0
    for band in _bands(pixels):
        red, green, blue = band[..., 0], band[..., 1], band[..., 2]
        count += int(np.count_nonzero((red == green) & (green == blue)))
    return count / int(pixels.shape[0] * pixels.shape[1])


def noise(pixels: Pixels) -> float:
    """Standard deviation of the noise in the grey picture, in grey levels; NaN where a side is below 3.

    Immerkaer 1996 ("Fast noise variance estimation"): the mean of a difference of two Laplacians, which is 0 on flat
    surfaces and straight edges. Fine texture counts as noise.

    Raises:
        ValueError: ``pixels`` is not (h, w, 3) uint8 with at least one pixel.
    """
    _check(pixels)
    height, width = map(int, pixels.shape[:2])
    if min(height, width) < 3:
        return math.nan
    total, done = 0, 0
    for band in _grey_bands(pixels, halo=1):
        rows = band.astype(np.int32)
        across = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
        residue = np.abs(across[:-2] - 2 * across[1:-1] + across[2:])
        first, last = done == 0, done + len(residue) == height
        total += int(residue[first : len(residue) - last].sum())
        done += len(residue)
    return math.sqrt(math.pi / 2) * total / (6 * (height - 2) * (width - 2))


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


def _check(pixels: Pixels) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(
            f"pixels are {pixels.dtype} {pixels.shape}: they have to be uint8 (height, width, 3), not empty"
        )


def _bands(pixels: Pixels) -> Iterator[Pixels]:
    """The picture in bands of rows."""
    step = max(1, BAND_PIXELS // pixels.shape[1])
    for start in range(0, len(pixels), step):
        yield pixels[start : start + step]


def _grey_bands(pixels: Pixels, halo: int) -> Iterator[Pixels]:
    """The grey picture in bands of rows, with ``halo`` more rows on either side (the border's rows are repeated)."""
    height, width = pixels.shape[:2]
    step = max(1, BAND_PIXELS // width)
    for start in range(0, height, step):
        rows = np.arange(start - halo, min(start + step, height) + halo).clip(0, height - 1)
        yield grey(pixels[rows])
