"""Quotas: the exact optimum of the quadratic programme, in whole numbers that meet the budget."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, minimize

from tamis.pipeline.algorithms.choosing import density


class Case(NamedTuple):
    complexity: NDArray[np.float64]
    sizes: NDArray[np.int64]
    total: int
    temperature: float
    balance: float


@st.composite
def cases(draw: st.DrawFn, clusters: int = 12, size: int = 60) -> Case:
    """Feasible problems: empty clusters, singletons, equal complexities, budgets at either bound."""
    sizes = np.array(
        draw(
            st.lists(
                st.one_of(st.integers(0, 2), st.integers(0, size)), min_size=1, max_size=clusters
            )
        )
    )
    value = st.one_of(st.sampled_from([0.0, 0.1, 0.3]), st.floats(0.0, 1.0))
    complexity = np.array(draw(st.lists(value, min_size=len(sizes), max_size=len(sizes))))
    balance = draw(st.sampled_from([0.0, 0.0, 0.3, 1.0]))
    # With balance the bounds follow the budget and never exceed it: every budget is feasible.
    least = 0 if balance else int(density.lower_bounds(sizes, 0).sum())
    most = int(sizes.sum())
    total = draw(st.one_of(st.sampled_from([least, most]), st.integers(least, most)))
    return Case(complexity, sizes, total, draw(st.sampled_from([0.02, 0.1, 0.5])), balance)


def judge(case: Case) -> NDArray[np.float64]:
    """The optimum by scipy's general-purpose solver, from the statement of the problem."""
    members = case.sizes > 0
    weight = np.exp(case.complexity / case.temperature) * members
    share = weight / weight.sum()
    lower = density.lower_bounds(case.sizes, case.total, case.balance).astype(float)
    room = case.sizes - lower
    start = lower + room * ((case.total - lower.sum()) / max(room.sum(), 1.0))

    def objective(x: NDArray[np.float64]) -> float:
        return 0.5 * float(x @ x) - case.total * float(share @ x)

    def gradient(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(x - case.total * share)

    found = minimize(
        objective,
        start,
        jac=gradient,
        bounds=[(float(least), float(most)) for least, most in zip(lower, case.sizes, strict=True)],
        constraints=LinearConstraint(np.ones((1, len(share))), case.total, case.total),
        method="SLSQP",
        tol=1e-16,
    )
    return np.asarray(found.x)


@given(cases(clusters=6, size=40).filter(lambda case: case.sizes.any()))
def test_the_optimum_is_a_general_solvers(case: Case) -> None:
    assert np.abs(density.real_quotas(*case) - judge(case)).max() <= 1e-6


@given(cases())
def test_integers_sum_to_the_budget_within_bounds_and_one_sample(case: Case) -> None:
    quota = density.quotas(*case)
    assert quota.dtype == np.int64
    assert quota.sum() == case.total
    assert (quota >= density.lower_bounds(case.sizes, case.total, case.balance)).all()
    assert (quota <= case.sizes).all()
    assert np.abs(quota - density.real_quotas(*case)).max(initial=0.0) < 1.0


@given(cases())
def test_quotas_rise_with_complexity_between_the_bounds(case: Case) -> None:
    quota = density.quotas(*case)
    lower = density.lower_bounds(case.sizes, case.total, case.balance)
    free = np.flatnonzero((quota > lower) & (quota < case.sizes))
    for a in free:
        for b in free:
            if case.complexity[a] > case.complexity[b]:
                assert quota[a] >= quota[b] - 1


@given(cases())
def test_empty_clusters_are_as_if_absent(case: Case) -> None:
    members = case.sizes > 0
    alone = case._replace(complexity=case.complexity[members], sizes=case.sizes[members])
    assert density.quotas(*case)[members].tolist() == density.quotas(*alone).tolist()
    assert (density.quotas(*case)[~members] == 0).all()


@given(st.integers(0, 1 << 32), st.integers(1, 50_000), st.integers(0, 5_800_000_000))
def test_web_scale_problems_satisfy_the_optimality_conditions(
    seed: int, clusters: int, samples: int
) -> None:
    """Sum, bounds and one lambda for all free clusters, at up to 50,000 clusters and 5.8e9."""
    rng = np.random.default_rng(seed)
    sizes = rng.multinomial(samples, rng.dirichlet(np.full(clusters, 0.5)))
    complexity = rng.random(clusters) * 0.3
    lower = density.lower_bounds(sizes, 0)
    total = int(rng.integers(lower.sum(), samples, endpoint=True))
    quota = density.quotas(complexity, sizes, total)
    assert quota.sum() == total
    assert ((quota >= lower) & (quota <= sizes)).all()
    real = density.real_quotas(complexity, sizes, total)
    assert np.abs(quota - real).max() < 1.0
    shift = real - total * density.probabilities(complexity, sizes)
    slack = 1e-14 * total + 1e-9
    free = (real > lower) & (real < sizes)
    if free.any():
        centre = np.median(shift[free])
        assert np.abs(shift[free] - centre).max() <= slack
        assert (shift[(real == sizes) & (sizes > lower)] <= centre + slack).all()
        assert (shift[(real == lower) & (sizes > lower)] >= centre - slack).all()


def test_one_cluster_takes_the_whole_budget() -> None:
    assert density.quotas(np.array([0.0]), np.array([10]), 7).tolist() == [7]


def test_equal_clusters_share_evenly_and_the_first_take_the_rest() -> None:
    quota = density.quotas(np.full(4, 0.2), np.full(4, 100), 42)
    assert quota.tolist() == [11, 11, 10, 10]


def test_singletons_have_lower_bound_0() -> None:
    complexity, sizes = np.array([0.0, 0.0, 0.4]), np.array([1, 1, 10])
    assert density.lower_bounds(sizes, 3).tolist() == [0, 0, 1]
    assert density.quotas(complexity, sizes, 3).tolist() == [0, 0, 3]


def test_a_case_by_hand() -> None:
    """P = (1/7, 2/7, 4/7) and N = 14 give (2, 4, 8); a cap of 6 sends 1 to each of the others."""
    complexity = 0.1 * np.log([1.0, 2.0, 4.0])
    assert density.real_quotas(complexity, np.array([20, 20, 20]), 14) == pytest.approx([2, 4, 8])
    assert density.quotas(complexity, np.array([20, 20, 6]), 14).tolist() == [3, 5, 6]


def test_balance_raises_the_lower_bound() -> None:
    complexity, sizes = np.array([0.0, 1.0]), np.array([50, 50])
    assert density.quotas(complexity, sizes, 40).tolist() == [1, 39]
    assert density.quotas(complexity, sizes, 40, balance=0.5).tolist() == [10, 30]


@pytest.mark.parametrize(
    ("total", "text"),
    [
        (2, "a budget of 2 is below 3, the least that 3 clusters"),
        (31, "a budget of 31 is above the upper bounds, the cluster sizes, which sum to 30"),
    ],
)
def test_an_infeasible_budget_names_the_bound(total: int, text: str) -> None:
    with pytest.raises(density.InfeasibleBudget, match=text):
        density.quotas(np.zeros(3), np.full(3, 10), total)


@pytest.mark.parametrize(
    ("complexity", "sizes", "temperature", "balance", "text"),
    [
        ([np.nan, 0.0], [5, 5], 0.1, 0.0, r"1 of 2 values of complexity .* \(nan\) at 0"),
        ([0.0], [5, 5], 0.1, 0.0, "one whole number a cluster"),
        ([0.0, 0.0], [5, -1], 0.1, 0.0, "size -1 of cluster 1 is negative"),
        ([0.0, 0.0], [5, 5], 0.0, 0.0, r"temperature 0\.0 must be finite and above 0"),
        ([0.0, 0.0], [5, 5], 0.1, 1.5, r"balance 1\.5 lies outside 0\.\.1"),
    ],
)
def test_values_outside_their_range_are_refused(
    complexity: list[float], sizes: list[int], temperature: float, balance: float, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        density.quotas(np.array(complexity), np.array(sizes), 5, temperature, balance)


@given(cases(clusters=5, size=12).map(lambda case: case._replace(balance=0.0)), st.data())
def test_smallest_total_is_the_first_budget_of_the_grid(case: Case, data: st.DataObject) -> None:
    """And from it on, the rank lies within the whole-number quota too."""
    if not case.sizes.any():
        return
    cluster = data.draw(st.sampled_from(np.flatnonzero(case.sizes).tolist()))
    rank = data.draw(st.integers(1, int(case.sizes[cluster])))
    least, most = int(density.lower_bounds(case.sizes, 0).sum()), int(case.sizes.sum())
    found = density.smallest_total(case.complexity, case.sizes, cluster, rank, case.temperature)
    for total in range(least, most + 1):
        budget = case._replace(total=total)
        real = density.real_quotas(*budget)[cluster]
        if total >= found:
            assert real >= rank - 1e-9
            assert density.quotas(*budget)[cluster] >= rank
        else:
            assert real < rank


def test_smallest_total_at_web_scale_brackets_the_rank() -> None:
    rng = np.random.default_rng(5)
    sizes = rng.multinomial(5_800_000_000, rng.dirichlet(np.ones(50_000)))
    complexity = rng.random(50_000) * 0.3
    for cluster in (0, 77, 49_999):
        rank = int(sizes[cluster]) // 2
        found = density.smallest_total(complexity, sizes, cluster, rank)
        assert density.real_quotas(complexity, sizes, found)[cluster] >= rank - 1e-4
        assert density.real_quotas(complexity, sizes, found - 1)[cluster] < rank + 1e-4


def test_smallest_total_refuses_a_rank_outside_the_cluster() -> None:
    with pytest.raises(ValueError, match=r"rank 6 lies outside 1\.\.5, the size of cluster 1"):
        density.smallest_total(np.zeros(2), np.array([9, 5]), 1, 6)
