"""Tables in which 64-bit hashes within a Hamming radius meet.

Manku, Jain and Das Sarma (WWW 2007): divide the 64 bits into radius + k chunks; two hashes within the radius differ in
at most `radius` chunks, so k chunks at least are equal. Each choice of k chunks is a mask and a table; hashes that are
equal under a mask are compared. No pair is missed. A larger k means more tables with smaller groups.
"""

from itertools import combinations
from math import comb

import numpy as np

from tamis.pipeline.algorithms.arrays import UInt8Array, UInt64Array

BITS = 64

# Pairs compared at the cost of adding one hash to a table and sorting it.
_TABLE_COST = 10
_MOST_TABLES = 1000


def distance(a: UInt64Array, b: UInt64Array) -> UInt8Array:
    """Number of bits in which uint64 hashes differ: uint8, 0 to 64, by NumPy's broadcasting rules."""
    return np.asarray(np.bitwise_count(a ^ b), dtype=np.uint8)


def masks(n: int, radius: int, most: int = _MOST_TABLES) -> UInt64Array:
    """Masks of the tables, uint64 (tables,), that cost least for n evenly spread hashes.

    Args:
        n: number of hashes; the speed depends on it, the pairs do not.
        radius: largest distance of a pair, 0 to 63 bits.
        most: tables, unless the least that there can be, radius + 1, are more.

    Raises:
        ValueError: a radius outside 0 to 63.
    """
    if not 0 <= radius < BITS:
        raise ValueError(f"Hamming radius {radius}; give 0 to {BITS - 1} of {BITS} bits")
    if radius == 0:
        return np.array([2**BITS - 1], dtype=np.uint64)
    return _masks(radius, min(range(1, BITS - radius + 1), key=lambda k: _cost(n, radius, k, most)))


def _cost(n: int, radius: int, equal_chunks: int, most: int) -> float:
    tables = comb(radius + equal_chunks, equal_chunks)
    if equal_chunks > 1 and tables > most:
        return float("inf")
    group_size: float = n * 0.5 ** (BITS * equal_chunks / (radius + equal_chunks))
    return tables * (_TABLE_COST + group_size / 2)


def _masks(radius: int, equal_chunks: int) -> UInt64Array:
    # Chunks interleave, because neighbouring bits of a perceptual hash are neighbouring frequencies.
    count = radius + equal_chunks
    chunks = [sum(1 << bit for bit in range(chunk, BITS, count)) for chunk in range(count)]
    return np.array([sum(some) for some in combinations(chunks, equal_chunks)], dtype=np.uint64)
