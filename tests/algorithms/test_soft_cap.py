"""Soft cap sampling: the closed form, exact totals, and the drawing that it stands for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.choosing.soft_cap import ceiling, expected, keys, reached

Floats = npt.NDArray[np.float64]

scores = st.lists(st.floats(-30, 30), min_size=1, max_size=30).map(np.array)
penalties = st.floats(0.05, 3)


def offsets(count: int, seed: int) -> Floats:
    return np.random.default_rng(seed).uniform(1e-9, 1 - 1e-9, count)


def level(score: Floats, total: float, penalty: float) -> float:
    """The K at which the counts before rounding add up to ``total``, by halving."""
    low, high = -200.0, 200.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if expected(score, middle, penalty).sum() > total else (middle, high)
        )
    return high


def taken(found: Floats, total: int) -> npt.NDArray[np.int64]:
    """How often each sample is among the ``total`` smallest keys."""
    order = np.argsort(found, axis=None, kind="stable")[:total]
    return np.bincount(order // found.shape[1], minlength=len(found))


def test_the_worked_case() -> None:
    score = np.array([2.0, 1.0, 0.0])
    found = expected(score, level(score, 6, 0.5), 0.5)
    assert found == pytest.approx([3.267, 1.846, 0.887], abs=5e-4)


def test_it_is_near_the_mean_of_drawn_runs() -> None:
    """One sample after another from softmax(score), which a sample's score loses 0.5 by each time."""
    draw, score, runs = np.random.default_rng(0), np.array([2.0, 1.0, 0.0]), 2_000
    counts = np.zeros((runs, 3))
    for _ in range(6):
        chance = np.exp(score - 0.5 * counts)
        chance = np.cumsum(chance / chance.sum(axis=1, keepdims=True), axis=1)
        chosen = (draw.random((runs, 1)) > chance).sum(axis=1)
        counts[np.arange(runs), chosen] += 1
    closed = expected(score, level(score, 6, 0.5), 0.5)
    assert counts.mean(axis=0) == pytest.approx(closed, abs=0.12)


@given(scores, penalties, st.integers(1, 9), st.integers(0, 99), st.data())
def test_the_smallest_keys_are_the_closed_form_rounded(
    score: Floats, penalty: float, most: int, seed: int, data: st.DataObject
) -> None:
    total = data.draw(st.integers(1, most * len(score)))
    offset = offsets(len(score), seed)
    found = keys(score, offset, most, penalty)
    assert (np.diff(found, axis=1) > 0).all()
    counts = taken(found, total)
    assert counts.sum() == total
    last = np.sort(found, axis=None)[total - 1]
    rounded = np.floor(expected(score, last + 1e-9, penalty) + offset)
    assert np.minimum(rounded, most).tolist() == pytest.approx(counts.tolist(), abs=1e-9) or (
        np.minimum(rounded, most).sum() != total  # keys closer than 1e-9
    )


@given(scores, penalties, st.integers(2, 9), st.integers(0, 99), st.data())
def test_nothing_above_the_ceiling_is_taken(
    score: Floats, penalty: float, most: int, seed: int, data: st.DataObject
) -> None:
    total = data.draw(st.integers(1, most * len(score)))
    bins = np.floor(score)
    least, count = np.unique(bins, return_counts=True)
    bound = ceiling(least, count, total, most, penalty)
    found = keys(score, offsets(len(score), seed), most, penalty)
    assert np.sort(found, axis=None)[total - 1] <= bound


def test_infinite_scores_are_first_and_last() -> None:
    score = np.array([np.inf, 0.0, -np.inf])
    found = keys(score, np.full(3, 0.5), 2, 1.0)
    assert [taken(found, total).tolist() for total in (2, 4, 6)] == [
        [2, 0, 0],
        [2, 2, 0],
        [2, 2, 2],
    ]
    least, count = np.sort(score), np.ones(3, np.int64)
    assert ceiling(least, count, 6, 2, 1.0) == np.inf
    assert np.isfinite(ceiling(least, count, 4, 2, 1.0))


@given(st.floats(0.01, 500), penalties)
def test_reached_is_the_inverse_of_expected(copies: float, penalty: float) -> None:
    at = reached(np.array([copies]), penalty)
    assert expected(at, 0.0, penalty) == pytest.approx([copies])
