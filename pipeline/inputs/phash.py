"""A 64-bit perceptual hash: pictures that look alike differ in few bits.

The usual "pHash": a 32 x 32 grey picture, its two-dimensional DCT-II, the 8 x 8 lowest frequencies, one bit
each for "above their median", here by more than a margin. Without it the bits of a symmetric, striped or flat picture,
whose frequencies are mostly as good as the median, are up to the noise of a JPEG. All numbers are whole and below
2**53, so that sums in double precision are exact in any order, and no processor's rounding can flip a bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 32
"""Pixels a side of the grey picture that is transformed."""

_KEPT = 8
_SCALE = 1 << 12

_MARGIN = 128 * _SCALE**2
"""A wave of half a grey level: what the worst usual JPEG adds to a frequency, about."""


def _dct_rows() -> NDArray[np.float64]:
    frequency = np.arange(_KEPT)[:, None]
    pixel = np.arange(SIDE)[None, :]
    waves: NDArray[np.float64] = np.cos(np.pi * frequency * (2 * pixel + 1) / (2 * SIDE))
    return np.rint(_SCALE * waves)


_ROWS = _dct_rows()


def phash(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hashes of grey pictures, uint8 (..., 32, 32): uint64 (...), bit 63 is the mean, then row by row of the DCT.

    Raises:
        ValueError: another shape.
    """
    if grey.shape[-2:] != (SIDE, SIDE):
        raise ValueError(f"grey pictures of shape ({SIDE}, {SIDE}) are wanted, not {grey.shape}")
    pictures = grey.reshape(-1, SIDE, SIDE)
    low = (_ROWS @ pictures.astype(np.float64) @ _ROWS.T).reshape(-1, _KEPT * _KEPT)
    middle = np.partition(low, (31, 32), axis=1)[:, 31:33].sum(axis=1)
    bits = np.packbits(2 * low > middle[:, None] + 2 * _MARGIN, axis=1)
    hashes: NDArray[np.uint64] = bits.view(">u8").astype(np.uint64).reshape(grey.shape[:-2])
    return hashes
