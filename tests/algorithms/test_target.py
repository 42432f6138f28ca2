"""Likeness to a target: cases by hand, brute force, and bits that do not depend on slicing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.choosing import target
from tamis.pipeline.algorithms.clusters import kmeans
from tests.support.embedded import unit

X = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
T = np.array([[0.8, 0.6], [0, 1]], np.float32)


def half(count: int, dim: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dim))
    return unit(rows).astype(np.float16)


def test_nearest_by_hand() -> None:
    value, number = target.nearest(X, kmeans.Centroids(T))
    assert value == pytest.approx([0.8, 1.0, 0.96], abs=1e-6)
    assert number.tolist() == [0, 1, 0]


def test_a_sign_is_kept() -> None:
    """NormSim-inf is the largest inner product; by its absolute value the opposite of the target would be near."""
    value, _ = target.nearest(-T[1:], kmeans.Centroids(T[1:]))
    assert value == pytest.approx([-1.0], abs=1e-6)


def test_moment_by_hand() -> None:
    """NormSim-2 of the paper is over the sum, ours over the mean."""
    value = target.moment(X.astype(np.float16), target.second_moment([T]))
    assert value * np.sqrt(2) == pytest.approx([0.8, 1.16619, 1.24964], abs=1e-3)


def test_a_target_row_that_stands_twice_counts_twice_in_the_moment_alone() -> None:
    twice = np.concatenate([T, T[1:]])
    once = target.moment(X.astype(np.float16), target.second_moment([T]))
    again = target.moment(X.astype(np.float16), target.second_moment([twice]))
    assert again[1] > once[1]
    assert again[0] < once[0]
    near, same = (target.nearest(X, kmeans.Centroids(rows))[0] for rows in (T, twice))
    assert np.array_equal(near, same)


def test_votes_by_hand() -> None:
    """DP4TL's feature mapping: target samples of two classes, means (0,0), (4,0), (0,4) less the first, as cosines."""
    means = np.array([[1, 0], [0, 1]], np.float32)
    votes = np.array([[3.5, 0.2], [4.1, -0.3], [0.2, 3.9], [3.9, 0.1], [0.1, 0.2]], np.float32)
    assert target.votes([votes[:2], votes[2:]], kmeans.Centroids(means)).tolist() == [3, 2]


def test_votes_of_predictions_by_hand() -> None:
    """DP4TL's label mapping: each target sample's most likely of four classes; the two with most votes are 0 and 2."""
    predicted = np.eye(4, dtype=np.float32)[[0, 0, 2, 3, 2, 0, 3, 0, 2, 0]]
    votes = target.votes([predicted], kmeans.Centroids(np.eye(4, dtype=np.float32)))
    assert votes.tolist() == [5, 0, 3, 2]


@given(st.integers(1, 40), st.integers(1, 30), st.integers(2, 40), st.integers(0, 99))
def test_they_are_what_brute_force_says(n: int, t: int, dim: int, seed: int) -> None:
    x, rows = half(n, dim, seed), target.unit(half(t, dim, seed + 1))
    wide = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    products = wide @ rows.astype(np.float64).T
    value, number = target.nearest(x, kmeans.Centroids(rows))
    assert value == pytest.approx(products.max(axis=1), abs=1e-6)
    assert products[np.arange(n), number] == pytest.approx(products.max(axis=1), abs=1e-6)
    found = target.moment(x, target.second_moment([rows]))
    assert found == pytest.approx(np.sqrt((products**2).mean(axis=1)), abs=1e-5)


@given(st.lists(st.integers(0, 3_000), max_size=3), st.sampled_from([3, 64, 100]))
def test_slicing_changes_no_bit(cuts: list[int], dim: int) -> None:
    x, rows = half(3_000, dim, 1), target.unit(half(70, dim, 2))
    second, searchable = target.second_moment([rows]), kmeans.Centroids(rows)
    edges = [0, *sorted(cuts), len(x)]
    pieces = [x[a:b] for a, b in pairwise(edges)]
    moments = np.concatenate([target.moment(piece, second) for piece in pieces])
    assert np.array_equal(moments, target.moment(x, second))
    nearest = [target.nearest(piece, searchable) for piece in pieces]
    whole = target.nearest(x, searchable)
    for field in range(2):
        assert np.array_equal(np.concatenate([one[field] for one in nearest]), whole[field])


@given(st.integers(1, 50), st.integers(2, 8), st.integers(0, 99))
def test_blocks_of_the_target_do_not_matter_but_for_rounding(n: int, dim: int, seed: int) -> None:
    rows = target.unit(half(n, dim, seed))
    one = target.second_moment([rows])
    several = target.second_moment([rows[:7], rows[7:]])
    assert several == pytest.approx(one, abs=2**-27)
    assert np.trace(one) == pytest.approx(1, abs=1e-6)


def test_what_is_no_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="row 1 is zero or not finite"):
        target.unit(np.array([[1.0, 0.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="no vectors"):
        target.second_moment([])
