"""Signals over pictures: of their pixels, uint8 RGB (height, width, 3), and of their sides.

All sums are exact integers and every logarithm is libm's, so values do not depend on the CPU's vector units.
Pixels are read in bands of rows of ``BAND_PIXELS``, which bound the memory beside the picture itself.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BAND_PIXELS = 1 << 20

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


def _grey_bands(pixels: Pixels, halo: int) -> Iterator[Pixels]:
    """The grey picture in bands of rows, with ``halo`` more rows on either side (the border's rows are repeated)."""
    height, width = pixels.shape[:2]
    step = max(1, BAND_PIXELS // width)
    for start in range(0, height, step):
        rows = np.arange(start - halo, min(start + step, height) + halo).clip(0, height - 1)
        yield grey(pixels[rows])
