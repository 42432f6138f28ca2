"""Candidate pairs of captions: those that share a key of a band and have similar sketches.

The false candidates of a band grow with the square of its captions. One bit for each position of the signature rejects
nearly all of them without the texts (b-bit minwise hashing; Li and Koenig, WWW 2010): positions agree with the
probability of the Jaccard similarity J and bits of the others by chance, so that bits differ with probability
(1 - J) / 2.
"""

from dataclasses import dataclass
from math import comb

import numpy as np

from tamis.pipeline.algorithms.arrays import (
    BoolArray,
    Int64Array,
    UInt8Array,
    UInt32Array,
    UInt64Array,
)
from tamis.pipeline.algorithms.grouping.buckets import Groups, pair_blocks, stars

WORDS = 2
"""Words of 64 bits in a sketch. At threshold .8, one word passes a third of the candidates of similarity .4, two words
a twentieth."""

BLOCK = 1 << 11
"""Signatures whose sketches are made together, and stay in the cache."""

# Probability that a pair at the threshold is rejected.
_LOSS = 1e-4
# Most members of a group that becomes pairs: a pair that shares many bands is then one candidate.
_FEW = 8
# Most members of a group whose pairs are filtered; larger groups are kept as they are.
_MANY = 512
_PAIRS = 1 << 20


@dataclass(frozen=True)
class Candidates:
    """Candidates by their rows: pairs ``a`` and ``b``, int64 (p,), and what is left of larger ``groups``.

    ``original``: int64, by group, the position of the group that it is left of.
    """

    a: Int64Array
    b: Int64Array
    groups: Groups
    original: Int64Array


def sketch_bits(signatures: UInt32Array) -> UInt64Array:
    """Sketches, one bit for each of the first 128 positions of signatures (n, permutations): uint64 (n, WORDS)."""
    packed = np.zeros((len(signatures), 8 * WORDS), dtype=np.uint8)
    for start in range(0, len(signatures), BLOCK):
        block = signatures[start : start + BLOCK, : 64 * WORDS]
        # A minimum is small, so that its bits are not uniform; the top bit of its multiple is.
        top = (block * np.uint32(0x9E3779B1)) >> np.uint32(31)
        bits = np.packbits(top.astype(bool), axis=1, bitorder="little")
        packed[start : start + BLOCK, : bits.shape[1]] = bits
    return packed.view("<u8")


def most_differing(threshold: float, permutations: int) -> int:
    """Most bits in which the sketches of a pair at this Jaccard similarity differ, but for one pair in ten thousand."""
    positions = min(permutations, 64 * WORDS)
    chance = (1.0 - threshold) / 2.0
    below = 0.0
    for bits in range(positions):
        below += comb(positions, bits) * chance**bits * (1.0 - chance) ** (positions - bits)
        if below >= 1.0 - _LOSS:
            return bits
    return positions


def candidates(groups: Groups, bits: UInt64Array, most: int) -> Candidates:
    """Candidates among the captions of each group; captions unlike all others of their group are left out.

    Args:
        groups: groups of rows with an equal key or number; where it is equal by chance, that does no harm.
        bits: uint64 (n, WORDS), by row, by `sketch_bits`.
        most: most bits in which the sketches of a pair differ, by `most_differing`.
    """
    sizes = groups.sizes
    few, many = sizes <= _FEW, sizes > _MANY
    a, b = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for first, second in pair_blocks(groups.take(few), _PAIRS):
        similar = _differing(bits, first, second) <= most
        a.append(first[similar])
        b.append(second[similar])
    between = np.flatnonzero(~(few | many))
    middle, left = _with_partners(groups.take(~(few | many)), bits, most)
    large = groups.take(many)
    larger = Groups(
        np.concatenate([middle.members, large.members]),
        np.concatenate([middle.offsets, middle.offsets[-1] + large.offsets[1:]]),
    )
    original = np.concatenate([between[left], np.flatnonzero(many)])
    return Candidates(np.concatenate(a), np.concatenate(b), larger, original)


def _differing(bits: UInt64Array, a: Int64Array, b: Int64Array) -> UInt8Array:
    """Number of bits in which the sketches of each pair differ: uint8 (p,)."""
    differing: UInt8Array = np.bitwise_count(bits[a] ^ bits[b]).sum(axis=1, dtype=np.uint8)
    return differing


def with_company(keys: UInt32Array) -> Groups:
    """Groups of the positions with equal keys, uint32 (n,), of one band; without groups of one."""
    # NumPy sorts 16 bits by radix: two stable passes are twice as fast as one comparison sort.
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    order = order[np.argsort((keys >> np.uint32(16)).astype(np.uint16)[order], kind="stable")]
    key = keys[order]
    new = np.ones(len(key) + 1, dtype=bool)
    new[1:-1] = key[1:] != key[:-1]
    shared = ~(new[:-1] & new[1:])
    members = order[shared]
    starts = np.flatnonzero(new[:-1][shared])
    return Groups(members, np.append(starts, len(members)))


def _with_partners(groups: Groups, bits: UInt64Array, most: int) -> tuple[Groups, BoolArray]:
    """Groups with only the members whose sketch is similar to another one of the group, and which have any."""
    kept = np.zeros(len(groups.members), dtype=bool)
    positions = Groups(np.arange(len(groups.members)), groups.offsets)
    # Near copies of one caption are all like the first: no other pair of such a group is compared.
    a, b = stars(positions)
    similar = _differing(bits, groups.members[a], groups.members[b]) <= most
    kept[a[similar]] = True
    kept[b[similar]] = True
    complete = np.logical_and.reduceat(kept, groups.offsets[:-1]) if len(kept) else kept
    for a, b in pair_blocks(positions.take(~complete), _PAIRS):
        similar = _differing(bits, groups.members[a], groups.members[b]) <= most
        kept[a[similar]] = True
        kept[b[similar]] = True
    ends = np.concatenate([[0], np.cumsum(kept)])[groups.offsets]
    nonempty = np.diff(ends) > 0
    return Groups(groups.members[kept], np.concatenate([[0], ends[1:][nonempty]])), nonempty
