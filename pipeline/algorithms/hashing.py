"""An avalanching hash over arrays of 64-bit integers."""

import numpy as np

from tamis.pipeline.algorithms.arrays import UInt64Array


def mix64(values: UInt64Array) -> UInt64Array:
    """Scramble 64-bit integers one to one (the finaliser of splitmix64; Steele et al. 2014).

    Args:
        values: uint64 of any shape, overwritten in place.

    Returns:
        The same array; each input bit flips each output bit with probability near 1/2.
    """
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values
