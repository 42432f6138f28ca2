"""Containment of sets in each other, against Python's sets; and the sample's interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms import containment
from tamis.pipeline.algorithms.containment import Counts

SETS = st.lists(st.sets(st.integers(0, 12), max_size=13), min_size=1, max_size=6)


def counted(sets: list[set[int]], cuts: int = 1) -> Counts:
    """Counts of the sets, whose keys are counted in so many parts; some occur twice."""
    counts = Counts.none(len(sets))
    rows = [(key, number) for number, one in enumerate(sets) for key in [*sorted(one), *one]]
    for cut in range(cuts):
        some = [(key, number) for key, number in rows if key % cuts == cut]
        keys = np.array([(0, key) for key, _ in some], np.uint64).reshape(-1, 2)
        containment.add(counts, keys, np.array([number for _, number in some], np.int32))
    return counts


@given(SETS, st.integers(1, 3))
def test_counts_are_those_of_pythons_sets(sets: list[set[int]], cuts: int) -> None:
    counts = counted(sets, cuts)
    assert counts.size.tolist() == [len(one) for one in sets]
    for a, one in enumerate(sets):
        others = set().union(*(other for b, other in enumerate(sets) if b != a))
        assert counts.elsewhere[a] == len(one & others)
        for b in range(a + 1, len(sets)):
            assert counts.shared[a, b] == len(one & sets[b])
    assert (np.tril(counts.shared) == 0).all()


def test_the_worked_case() -> None:
    """A = abcd, B = A and ef, C = cdg: C(A,B) 1, C(B,A) .667, C(C,B) .667, C(A,C) .5."""
    counts = counted([{1, 2, 3, 4}, {1, 2, 3, 4, 5, 6}, {3, 4, 7}])
    shared = counts.shared + counts.shared.T
    share = shared / counts.size[:, None]
    assert share[0].tolist() == [0, 1, 0.5]
    assert np.allclose([share[1, 0], share[2, 1]], 2 / 3)
    assert containment.contained(counts) == [(0, 1)]


@given(SETS)
def test_what_goes_stands_in_what_stays(sets: list[set[int]]) -> None:
    found = dict(containment.contained(counted(sets)))
    assert set(found.values()).isdisjoint(found)
    for one, keeper in found.items():
        assert sets[one] <= sets[keeper]
    stays = [number for number in range(len(sets)) if number not in found and sets[number]]
    for one in stays:
        assert not any(sets[one] <= sets[other] for other in stays if other != one)


def test_the_first_of_equal_sets_stays() -> None:
    assert containment.contained(counted([{1, 2}, {1, 2}, {1}, set()])) == [(1, 0), (2, 0)]


def test_a_sample_has_the_same_keys_in_every_set() -> None:
    keys = np.random.default_rng(1).integers(0, 2**64, (40_000, 2), dtype=np.uint64)
    keys[:, 0] = 0  # uids may be numbers that count
    chosen = containment.sampled(keys, 0.05)
    assert 1_800 < chosen.sum() < 2_200
    assert (containment.sampled(keys[::-1], 0.05) == chosen[::-1]).all()
    assert containment.sampled(keys, 1.0).all()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.95])
def test_nineteen_intervals_of_twenty_hold_the_share(share: float) -> None:
    shared = np.random.default_rng(3).binomial(800, share, 2_000)
    low, high = containment.interval(shared, np.full(2_000, 800))
    assert 0.93 < ((low <= share) & (share <= high)).mean() < 0.97


def test_an_interval_of_all_or_none_is_not_empty() -> None:
    low, high = containment.interval(np.array([0, 10]), np.array([10, 10]))
    assert low[0] < 1e-12
    assert 0.2 < high[0] < 0.3
    assert 0.7 < low[1] < 0.8
    assert high[1] > 1 - 1e-12
