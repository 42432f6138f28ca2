"""Which captions of a bucket of bands are worth a look: they share a key, and their sketches do not tell them apart.

Among n captions the false meetings of a band grow as n squared. One bit a place of the signature is
enough to turn nearly all of them away without the texts (b-bit minwise hashing; Li and Koenig,
WWW 2010): places agree by Jaccard similarity J or else by chance, so bits differ with
probability (1 - J) / 2.
"""

from dataclasses import dataclass
from math import comb

import numpy as np

from tamis.pipeline.algorithms.arrays import Int64Array, UInt8Array, UInt32Array, UInt64Array
from tamis.pipeline.algorithms.grouping.buckets import Groups, pair_blocks, stars

WORDS = 2
"""Of 64 bits in a sketch. Of pairs of similarity .4 that meet, the bound .8 lets a third by with one, a twentieth with
two."""

# Chance that a pair at the threshold is turned away.
_LOSS = 1e-4
# Groups of at most so many members become pairs: then a pair that meets in many bands is one.
_FEW = 8
# Groups of at most so many are looked through; larger ones are kept as they are.
_MANY = 512
_PAIRS = 1 << 20


@dataclass(frozen=True)
class Meetings:
    """Candidates, by their positions in a bucket: ``a`` and ``b`` int64 (p,) pairs; ``groups`` of more."""

    a: Int64Array
    b: Int64Array
    groups: Groups


def sketch_bits(signatures: UInt32Array) -> UInt64Array:
    """One bit of each of the first 128 places of signatures (n, permutations): uint64 (n, WORDS)."""
    # A minimum is small, so its own bits are not even: the top bit of a multiple is.
    places = signatures[:, : 64 * WORDS] * np.uint32(0x9E3779B1)
    bits = np.zeros((len(signatures), 64 * WORDS), dtype=bool)
    bits[:, : places.shape[1]] = places >> np.uint32(31)
    packed: UInt64Array = np.packbits(bits, axis=1, bitorder="little").view("<u8")
    return packed


def most_differing(threshold: float, permutations: int) -> int:
    """Bits in which the sketches of a pair at this Jaccard similarity differ at most, but for one in ten thousand."""
    places = min(permutations, 64 * WORDS)
    chance = (1.0 - threshold) / 2.0
    below = 0.0
    for bits in range(places):
        below += comb(places, bits) * chance**bits * (1.0 - chance) ** (places - bits)
        if below >= 1.0 - _LOSS:
            return bits
    return places


def meetings(keys: UInt32Array, bits: UInt64Array, most: int) -> Meetings:
    """Group the records of a bucket by key, and leave out who is like nobody.

    Args:
        keys: uint32 (n,), n < 2**32: of a band; two that only chance makes equal do no harm.
        bits: uint64 (n, WORDS), the captions' sketches.
        most: bits in which the sketches of a pair may differ.
    """
    groups = _grouped(keys)
    sizes = groups.sizes
    few, many = sizes <= _FEW, sizes > _MANY
    a, b = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for left, right in pair_blocks(groups.take(few), _PAIRS):
        near = _differing(bits, left, right) <= most
        a.append(left[near])
        b.append(right[near])
    alike = _alike(groups.take(~(few | many)), bits, most)
    huge = groups.take(many)
    together = Groups(
        np.concatenate([alike.members, huge.members]),
        np.concatenate([alike.offsets, alike.offsets[-1] + huge.offsets[1:]]),
    )
    return Meetings(np.concatenate(a), np.concatenate(b), together)


def _differing(bits: UInt64Array, a: Int64Array, b: Int64Array) -> UInt8Array:
    """How many bits of the sketches of each pair differ."""
    differing: UInt8Array = np.bitwise_count(bits[a] ^ bits[b]).sum(axis=1, dtype=np.uint8)
    return differing


def _grouped(keys: UInt32Array) -> Groups:
    """Positions by key, those that stand alone left out."""
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


def _alike(groups: Groups, bits: UInt64Array, most: int) -> Groups:
    """Only members with a partner in their group that the sketches do not rule out."""
    kept = np.zeros(len(groups.members), dtype=bool)
    places = Groups(np.arange(len(groups.members)), groups.offsets)
    # Of near copies of one caption all are like the first: then nobody else need be looked at.
    a, b = stars(places)
    near = _differing(bits, groups.members[a], groups.members[b]) <= most
    kept[a[near]] = True
    kept[b[near]] = True
    settled = np.logical_and.reduceat(kept, groups.offsets[:-1]) if len(kept) else kept
    for a, b in pair_blocks(places.take(~settled), _PAIRS):
        near = _differing(bits, groups.members[a], groups.members[b]) <= most
        kept[a[near]] = True
        kept[b[near]] = True
    ends = np.concatenate([[0], np.cumsum(kept)])[groups.offsets]
    held = np.diff(ends) > 0
    return Groups(groups.members[kept], np.concatenate([[0], ends[1:][held]]))
