"""Quotas by weight: worked cases, exact sums, and a search over all quotas of a few groups."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.choosing import group_quotas
from tamis.pipeline.algorithms.choosing.group_quotas import InfeasibleQuotas, Level

CASES = [
    ([0.5, 0.3, 0.2], [9, 9, 9], 7, [4, 2, 1]),
    ([0.5, 0.3, 0.2], [2, 9, 9], 7, [2, 3, 2]),
    ([1.0, 1.0, 1.0], [100, 10, 1], 30, [19, 10, 1]),
    ([900**0.5, 90**0.5, 10**0.5], [900, 90, 10], 100, [70, 22, 8]),
    ([1.0, 1.0, 1.0], [5, 5, 5], 4, [2, 1, 1]),  # of equal remainders the first group
    ([1.0, 0.0, 2.0], [9, 9, 3], 12, [9, 0, 3]),
    ([1.0], [3], 0, [0]),
]


@pytest.mark.parametrize(("weight", "capacity", "total", "quotas"), CASES)
def test_worked_cases(
    weight: list[float], capacity: list[int], total: int, quotas: list[int]
) -> None:
    found = group_quotas.quotas(np.array(weight), np.array(capacity), total)
    assert found.tolist() == quotas


GROUPS = st.lists(
    st.tuples(st.floats(1e-6, 1e6) | st.just(0.0) | st.just(1.0), st.integers(0, 10**9)),
    min_size=1,
    max_size=40,
)


@given(GROUPS, st.floats(0, 1))
def test_quotas_sum_to_the_budget_within_capacities(
    groups: list[tuple[float, int]], share: float
) -> None:
    weight, capacity = (np.array(column) for column in zip(*groups, strict=True))
    most = int(capacity[weight > 0].sum())
    total = int(most * share)
    quota = group_quotas.quotas(weight, capacity, total)
    real = group_quotas.real_quotas(weight, capacity, total)
    assert quota.sum() == total
    assert ((quota >= 0) & (quota <= capacity)).all()
    assert (quota[weight == 0] == 0).all()
    assert (np.abs(quota - real) < 1 + 1e-6).all()
    # One level: whoever is not full has the same real quota by weight, and no one more.
    positive = weight > 0
    level = real[positive] / weight[positive]
    open_ = real[positive] < capacity[positive] * (1 - 1e-9)
    if open_.any():
        assert np.allclose(level[open_], level.max(), rtol=1e-6)


@given(GROUPS, st.floats(0, 1), st.integers(0, 39))
def test_more_weight_keeps_no_less(
    groups: list[tuple[float, int]], share: float, which: int
) -> None:
    weight, capacity = (np.array(column) for column in zip(*groups, strict=True))
    which %= len(weight)
    total = int(capacity[weight > 0].sum() * share)
    before = group_quotas.real_quotas(weight, capacity, total)[which]
    weight[which] = 2 * weight[which] + 1e-3
    after = group_quotas.real_quotas(weight, capacity, total)[which]
    assert after >= before * (1 - 1e-9) - 1e-9


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=4),
    st.integers(0, 20),
)
def test_no_other_quotas_are_fairer(groups: list[tuple[int, int]], total: int) -> None:
    """Of all whole quotas these lie nearest to a common level: the sum of x^2 / w is least, but for rounding."""
    weight, capacity = (np.array(column) for column in zip(*groups, strict=True))
    if total > capacity.sum():
        with pytest.raises(InfeasibleQuotas, match=f"{total} are asked for"):
            group_quotas.quotas(weight.astype(float), capacity, total)
        return
    real = group_quotas.real_quotas(weight.astype(float), capacity, total)
    cost = (real**2 / weight).sum()
    every = (np.array(x) for x in product(*(range(c + 1) for c in capacity)))
    least = min((x**2 / weight).sum() for x in every if x.sum() == total)
    assert cost <= least + 1e-9
    found = group_quotas.quotas(weight.astype(float), capacity, total)
    assert (found >= np.floor(real - 1e-9)).all()
    assert (found <= np.ceil(real + 1e-9)).all()


def test_levels_share_what_their_parents_got() -> None:
    # Two parents of 3 and 1 groups; the second is small, so the first gets the rest.
    leaves = Level(np.array([0, 0, 0, 1]), np.ones(4), np.array([100, 4, 100, 5]))
    top = Level(np.zeros(2, np.int64), np.ones(2), np.array([204, 5]))
    assert group_quotas.by_level([top, leaves], 35).tolist() == [13, 4, 13, 5]
    flat = Level(np.zeros(4, np.int64), np.ones(4), leaves.capacity)
    assert group_quotas.by_level([flat], 35).tolist() == [13, 4, 13, 5]
    assert group_quotas.by_level([top, leaves], 9).tolist() == [2, 2, 1, 4]
    with pytest.raises(InfeasibleQuotas, match="210 are asked for, and its groups allow 209"):
        group_quotas.by_level([top, leaves], 210)


def test_capacities_are_a_share_and_a_number() -> None:
    sizes = np.array([100, 7, 1])
    assert group_quotas.capacities(sizes).tolist() == [100, 7, 1]
    assert group_quotas.capacities(sizes, 0.5).tolist() == [50, 3, 0]
    assert group_quotas.capacities(sizes, 0.5, 10).tolist() == [10, 3, 0]


@given(GROUPS, st.integers(0, 39), st.floats(0, 1))
def test_the_smallest_budget_that_reaches_a_rank(
    groups: list[tuple[float, int]], which: int, place: float
) -> None:
    weight, capacity = (np.array(column) for column in zip(*groups, strict=True))
    which %= len(weight)
    rank = 1 + int(place * capacity[which])
    total = group_quotas.smallest_total(weight, capacity, which, rank)
    if weight[which] == 0 or rank > capacity[which]:
        assert total is None
        return
    assert total is not None
    slack = 1e-6 * rank
    assert group_quotas.real_quotas(weight, capacity, total)[which] >= rank - slack
    if total:
        assert group_quotas.real_quotas(weight, capacity, total - 1)[which] < rank + slack
