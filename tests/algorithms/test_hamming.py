"""Perceptual hashes within a radius: every pair of distinct hashes, and each once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.grouping import components
from tamis.pipeline.algorithms.grouping.buckets import Limits
from tamis.pipeline.algorithms.near_pictures import hamming

UInt64Array = NDArray[np.uint64]


def planted(n: int, seed: int, flips: int = 10) -> UInt64Array:
    """Make hashes around few others, by flipping up to `flips` bits; many are equal."""
    generator = np.random.default_rng(seed)
    centres = generator.integers(0, 2**64, size=max(1, n // 8), dtype=np.uint64)
    hashes = centres[generator.integers(len(centres), size=n)]
    for _ in range(flips):
        flip = generator.integers(0, 64, size=n).astype(np.uint64)
        hashes = np.where(generator.random(n) < 0.3, hashes ^ (np.uint64(1) << flip), hashes)
    return hashes


def uids(n: int, seed: int = 0) -> UInt64Array:
    return np.random.default_rng(seed).integers(0, 2**63, size=(n, 2), dtype=np.uint64)


def all_pairs(hashes: UInt64Array, radius: int) -> set[tuple[int, int]]:
    near = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= radius
    return {(int(a), int(b)) for a, b in zip(*np.nonzero(near), strict=True) if a < b}


@given(st.integers(2, 60), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_finds_every_pair_of_distinct_hashes(n: int, radius: int, seed: int) -> None:
    hashes = np.unique(planted(n, seed))
    uid = uids(len(hashes), seed)
    a, b, bits = hamming.pairs(hashes, uid, radius, Limits(pairs=7))
    found = [(int(min(pair)), int(max(pair))) for pair in zip(a, b, strict=True)]
    assert len(found) == len(set(found))
    assert set(found) == all_pairs(hashes, radius)
    assert bits.tolist() == hamming.distance(hashes[a], hashes[b]).tolist()
    high, low = uid[:, 0].tolist(), uid[:, 1].tolist()
    assert all((high[i], low[i]) < (high[j], low[j]) for i, j in zip(a, b, strict=True))


@given(st.integers(2, 80), st.integers(0, 16), st.integers(0, 2**32 - 1))
def test_equal_hashes_are_joined_without_all_their_pairs(n: int, radius: int, seed: int) -> None:
    hashes = planted(n, seed, flips=3)
    a, b, _ = hamming.pairs(hashes, uids(n), radius)
    truth = all_pairs(hashes, radius)
    assert {tuple(sorted(pair)) for pair in zip(a.tolist(), b.tolist(), strict=True)} <= truth
    left, right = np.array([*truth], dtype=np.int64).reshape(-1, 2).T
    expected = components.connected(left, right, n)
    assert components.connected(a, b, n).tolist() == expected.tolist()


def test_the_pairs_of_uids_do_not_depend_on_the_order_of_rows() -> None:
    hashes, uid = planted(500, 3), uids(500)
    shuffle = np.random.default_rng(1).permutation(500)
    a, b, bits = hamming.pairs(hashes, uid, 6)
    c, d, again = hamming.pairs(hashes[shuffle], uid[shuffle], 6)
    assert a.tolist() == shuffle[c].tolist()
    assert b.tolist() == shuffle[d].tolist()
    assert bits.tolist() == again.tolist()


def test_a_hundred_thousand_equal_pictures_are_as_many_edges() -> None:
    hashes = np.full(100_000, 42, dtype=np.uint64)
    hashes[7] = 43
    a, b, _ = hamming.pairs(hashes, uids(100_000), 4)
    assert len(a) == 99_999
    assert len(np.unique(components.connected(a, b, 100_000))) == 1


@pytest.mark.parametrize("radius", [1, 4, 8, 12, 31, 63])
@pytest.mark.parametrize("n", [10, 10_000, 10_000_000])
def test_masks_leave_no_pair_within_the_radius_apart(radius: int, n: int) -> None:
    """Whichever `radius` bits differ, some table keeps the two together."""
    masks = hamming.masks(n, radius)
    generator = np.random.default_rng(radius)
    for _ in range(200):
        bits = generator.permutation(64)[:radius].astype(np.uint64)
        flipped = np.bitwise_or.reduce(np.uint64(1) << bits)
        assert (masks & flipped == 0).any()


def test_more_hashes_are_split_more_finely() -> None:
    few, many = hamming.masks(1_000, 4), hamming.masks(100_000_000, 4)
    assert np.bitwise_count(many).min() > np.bitwise_count(few).max()


def test_refuses_a_radius_of_all_bits() -> None:
    with pytest.raises(ValueError, match="radius 64; give 0 to 63"):
        hamming.masks(10, 64)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("radius", [3, 4, 6])
def test_dense_groups_have_the_components_of_all_pairs(radius: int, seed: int) -> None:
    """Two that matched different centres are a pair too: no later table would bring them together."""
    n, generator = 300, np.random.default_rng(seed)
    hashes = generator.integers(0, 2**64, 6, dtype=np.uint64)[generator.integers(6, size=n)]
    for _ in range(radius):
        hashes ^= np.uint64(1) << generator.integers(0, 64, n).astype(np.uint64)
    a, b, bits = hamming.pairs(hashes, uids(n), radius, Limits(all_pairs=16, pairs=500))
    truth = all_pairs(hashes, radius)
    assert {tuple(sorted(pair)) for pair in zip(a.tolist(), b.tolist(), strict=True)} <= truth
    assert bits.tolist() == hamming.distance(hashes[a], hashes[b]).tolist()
    left, right = np.array([*truth], dtype=np.int64).reshape(-1, 2).T
    expected = components.connected(left, right, n)
    assert components.connected(a, b, n).tolist() == expected.tolist()


def test_a_dense_group_is_searched_with_centres_and_loses_no_member() -> None:
    """Whoever is within the radius of anybody has an edge, every edge is true, and each comes once."""
    hashes = np.unique(planted(800, 5, flips=6) & np.uint64(0xFFF))
    uid = uids(len(hashes))
    a, b, bits = hamming.pairs(hashes, uid, 3, Limits(all_pairs=8, pairs=1000))
    truth = all_pairs(hashes, 3)
    found = [tuple(sorted(pair)) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    assert len(set(found)) == len(found) < len(truth)
    assert set(found) <= truth
    assert {row for pair in found for row in pair} == {row for pair in truth for row in pair}
    assert bits.tolist() == hamming.distance(hashes[a], hashes[b]).tolist()
