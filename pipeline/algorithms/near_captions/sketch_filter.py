"""Candidate pairs of captions: those that share a key of a band and have similar sketches.

The false candidates of a band grow with the square of its captions. One bit for each position of the signature rejects
nearly all of them without the texts (b-bit minwise hashing; Li and Koenig, WWW 2010): positions agree with the
probability of the Jaccard similarity J and bits of the others by chance, so that bits differ with probability
(1 - J) / 2.
"""

from collections.abc import Sequence
from math import comb

import numpy as np

from tamis.pipeline.algorithms.arrays import BoolArray, Int64Array, UInt32Array, UInt64Array
from tamis.pipeline.algorithms.grouping.buckets import Groups, pair_blocks, stars
from tamis.pipeline.algorithms.grouping.components import connected

WORDS = 2
"""Words of 64 bits in a sketch. At threshold .8, one word passes a third of the candidates of similarity .4, two words
a twentieth."""

MANY = 1 << 15
"""Most members of a group whose pairs are filtered. Larger groups are kept as they are: the search compares all with
512 of their members, which from here on is cheaper than to look at all sketches."""

BLOCK = 1 << 11
"""Signatures whose sketches are made together, and stay in the cache."""

# Probability that a pair at the threshold is rejected.
_LOSS = 1e-4
# Most members of a group that becomes pairs: a pair that shares many bands is then one candidate.
_FEW = 8
_PAIRS = 1 << 16
# Similar pairs a caption above which these are one group.
_DENSE = 4
# Similar pairs that are held, above so many a caption.
_EDGES = 1 << 22


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


def candidates(groups: Groups, bits: UInt64Array, most: int) -> Groups:
    """Candidates among the captions of each group: the pairs with similar sketches, as groups of two.

    Near copies make very many pairs: where there are more than `_DENSE` a caption, all captions that similar pairs
    connect are one group, so that pairs that are unlike are among the candidates too.

    Args:
        groups: groups of rows with an equal key or number; where it is equal by chance, that does no harm.
        bits: uint64 (n, WORDS), by row, by `sketch_bits`.
        most: most bits in which the sketches of a pair differ, by `most_differing`.
    """
    sizes = groups.sizes
    few, many = sizes <= _FEW, sizes > MANY
    # A column of words at a time is five times as fast as a row.
    words = np.ascontiguousarray(bits.T)
    pairs = [_similar(words, *block, most) for block in pair_blocks(groups.take(few), _PAIRS)]
    between, dense = _between(groups.take(~(few | many)), words, most)
    return _joined([_as_groups([*pairs, between]), dense, groups.take(many)])


def _as_groups(pairs: Sequence[Int64Array]) -> Groups:
    """Groups of two."""
    members = np.concatenate([np.empty((2, 0), np.int64), *pairs], axis=1).T.ravel()
    return Groups(members, np.arange(0, len(members) + 1, 2))


def _joined(parts: Sequence[Groups]) -> Groups:
    """The groups of all."""
    sizes = np.concatenate([part.sizes for part in parts])
    return Groups(
        np.concatenate([part.members for part in parts]), np.concatenate([[0], np.cumsum(sizes)])
    )


def _similar(words: UInt64Array, a: Int64Array, b: Int64Array, most: int) -> Int64Array:
    """The pairs whose sketches, the columns of ``words``, are similar: int64 (2, p)."""
    differing = np.zeros(len(a), dtype=np.uint8)
    for word in words:
        differing += np.bitwise_count(word[a] ^ word[b])
    similar = differing <= most
    return np.stack([a[similar], b[similar]])


def with_company(keys: UInt32Array) -> Groups:
    """Groups of the positions with equal keys, uint32 (n,), of one band; without groups of one."""
    # Key and position as one number: these are all different, and NumPy sorts numbers three times as fast as positions.
    packed = keys.astype(np.uint64) << np.uint64(32)
    packed |= np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    key = packed >> np.uint64(32)
    new = np.ones(len(key) + 1, dtype=bool)
    new[1:-1] = key[1:] != key[:-1]
    shared = ~(new[:-1] & new[1:])
    members = (packed[shared] & np.uint64(2**32 - 1)).astype(np.int64)
    starts = np.flatnonzero(new[:-1][shared])
    return Groups(members, np.append(starts, len(members)))


def _between(groups: Groups, words: UInt64Array, most: int) -> tuple[Int64Array, Groups]:
    """Similar pairs of larger groups, int64 (2, p), and groups of what very many of them connect."""
    count = len(groups.members)
    words = words.take(groups.members, axis=1)
    positions = Groups(np.arange(count), groups.offsets)
    copies = _copies_of_first(positions, words, most)
    found = _Found(
        np.where(copies, np.repeat(groups.offsets[:-1], groups.sizes), np.arange(count)), copies
    )
    for a, b in pair_blocks(positions.take(~copies[groups.offsets[:-1]]), _PAIRS):
        found.add(_similar(words, a, b, most))
    found.settle()
    order = np.argsort(found.label, kind="stable")
    starts = np.flatnonzero(np.diff(found.label[order], prepend=-1))
    components = Groups(groups.members[order], np.append(starts, count))
    return groups.members[found.pairs], components.take(found.dense[order][starts])


def _copies_of_first(groups: Groups, words: UInt64Array, most: int) -> BoolArray:
    """Mark the members of groups that are all like the first, of which no other pair need be compared."""
    like = np.zeros(len(groups.members), dtype=bool)
    like[groups.offsets[:-1]] = True
    like[_similar(words, *stars(groups), most)[1]] = True
    all_like = np.logical_and.reduceat(like, groups.offsets[:-1]) if len(like) else like
    return np.repeat(all_like, groups.sizes)


class _Found:
    """Similar pairs, as long as they are few beside the captions that they connect, and the components of all.

    Args:
        label: int64 (n,), one of each component's members, by member: what is connected already.
        dense: bool (n,), by member, whether its component's pairs are too many.
    """

    def __init__(self, label: Int64Array, dense: BoolArray) -> None:
        self.label = label
        self.dense = dense
        self.pairs = np.empty((2, 0), dtype=np.int64)
        self._new: list[Int64Array] = []
        self._held = 0

    def add(self, pairs: Int64Array) -> None:
        """Pairs, int64 (2, p)."""
        self._new.append(pairs)
        self._held += pairs.shape[1]
        if self._held > _EDGES:
            self.settle()

    def settle(self) -> None:
        """Give up the pairs of components that have too many."""
        pairs = np.concatenate([self.pairs, *self._new], axis=1)
        self._new, self._held = [], 0
        count = len(self.label)
        a, b = self.label[pairs]
        self.label = connected(a, b, count)[self.label]
        of = self.label[pairs[0]]
        many = np.bincount(of, minlength=count) > _DENSE * np.bincount(self.label, minlength=count)
        many[self.label[self.dense]] = True
        self.dense = many[self.label]
        self.pairs = pairs[:, ~many[of]]
