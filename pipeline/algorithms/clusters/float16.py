"""float16 made float32 to the same bits as NumPy's own conversion, which takes one number after another.

A float16's exponent and mantissa, 13 bits further up, are the float32 of 2^-112 times its value.
"""

import numpy as np
from numpy.typing import NDArray

_NUMBERS = 1 << 16  # converted at once: they stay in the cache from one operation to the next
_SHIFT = np.int32(1 << 13)
_KEPT = np.int32(0x0FFFE000 - (1 << 31))  # the sign, and the 15 bits after it in their new place
_SCALE = np.float32(2.0**112)
_NOT_FINITE = 0x7C00
_TINY = np.array(
    [2.0**-136], np.float32
)  # what 2^-24, the smallest float16, looks like before it is scaled


def widen(rows: NDArray[np.floating], out: NDArray[np.float32]) -> None:
    """Write ``rows`` (n, d), float16 or any other kind of number, to ``out`` of the same shape: a block at a time."""
    # A thread may have been told, by a library's start-up code, to take such small numbers for zero.
    if rows.dtype != np.float16 or (_TINY * _SCALE)[0] != np.float32(2.0**-24):
        out[...] = rows
        return
    half = rows.view(np.int16)
    if (half & 0x7FFF).max(initial=0) >= _NOT_FINITE:
        out[...] = rows
        return
    step = max(1, _NUMBERS // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        wide = out[start : start + step]
        word = wide.view(np.int32)
        # The sign is extended first, so that it is still the first bit.
        np.multiply(half[start : start + step], _SHIFT, out=word, dtype=np.int32)
        np.bitwise_and(word, _KEPT, out=word)
        np.multiply(wide, _SCALE, out=wide)
