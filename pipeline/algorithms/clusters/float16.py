"""Conversion of float16 to float32: the bits of NumPy's own, which converts one number at a time.

The exponent and mantissa of a float16, moved up 13 bits, are the float32 of 2^-112 times its value.
"""

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 16  # numbers converted at once: they stay in the cache from one operation to the next
_SHIFT = np.int32(1 << 13)
_BITS = np.int32(0x0FFFE000 - (1 << 31))  # the sign, and the other 15 bits after their move
_SCALE = np.float32(2.0**112)
_NOT_FINITE = 0x7C00
# 2^-24, the smallest float16, before it is scaled.
_SMALLEST = np.array([2.0**-136], np.float32)


def widen(rows: NDArray[np.floating], out: NDArray[np.float32]) -> None:
    """Write ``rows`` (n, d), float16 or any other dtype, to ``out`` of the same shape, a block at a time."""
    # A library's start-up code may have set this thread to treat such small numbers as zero.
    if rows.dtype != np.float16 or (_SMALLEST * _SCALE)[0] != np.float32(2.0**-24):
        out[...] = rows
        return
    half = rows.view(np.int16)
    if (half & 0x7FFF).max(initial=0) >= _NOT_FINITE:
        out[...] = rows
        return
    step = max(1, _BLOCK // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        wide = out[start : start + step]
        word = wide.view(np.int32)
        # int16 to int32 extends the sign, so that it is still the first bit.
        np.multiply(half[start : start + step], _SHIFT, out=word, dtype=np.int32)
        np.bitwise_and(word, _BITS, out=word)
        np.multiply(wide, _SCALE, out=wide)
