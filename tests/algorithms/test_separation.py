"""The AUC is the share of pairs in the right order, and its interval holds the truth about as often as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.separation import auc

SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_the_auc_is_the_share_of_pairs_in_the_right_order(
    first: list[int], second: list[int]
) -> None:
    right = [a > b or 0.5 * (a == b) for a in first for b in second]
    found = auc(np.array(first, float), np.array(second, float))
    assert found.value == pytest.approx(np.mean(right))
    assert 0 <= found.low <= found.value <= found.high <= 1


@given(SCORES, SCORES)
def test_exchanged_groups_give_the_complement(first: list[int], second: list[int]) -> None:
    one, other = np.array(first, float), np.array(second, float)
    assert auc(one, other).value == pytest.approx(1 - auc(other, one).value)
    assert auc(one, other).low == pytest.approx(1 - auc(other, one).high)


def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    random = np.random.default_rng(0)
    truth = 0.7602499  # of two normal distributions of variance 1, one apart: Phi(1 / sqrt 2)
    hits = 0
    for _ in range(400):
        found = auc(random.normal(1, 1, 60), random.normal(0, 1, 90))
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 400 <= 0.98


def test_an_empty_group_is_refused() -> None:
    with pytest.raises(ValueError, match="0 and 2 scores"):
        auc(np.empty(0), np.zeros(2))
