"""Leaders against a loop that keeps or drops one sample after another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.grouping import leaders
from tamis.pipeline.algorithms.grouping.buckets import first_edges

Int64Array = NDArray[np.int64]
graphs = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=80)
    )
)


def ends(edges: list[tuple[int, int]]) -> tuple[Int64Array, Int64Array]:
    """Each edge once, the smaller rank first."""
    apart = sorted({(min(edge), max(edge)) for edge in edges if edge[0] != edge[1]})
    a, b = np.array(apart, dtype=np.int64).reshape(-1, 2).T
    return a, b


def greedy(n: int, a: Int64Array, b: Int64Array) -> list[bool]:
    """One after another: kept unless alike to a kept one before it."""
    before: dict[int, set[int]] = {}
    for first, second in zip(a.tolist(), b.tolist(), strict=True):
        before.setdefault(second, set()).add(first)
    kept: list[bool] = []
    for one in range(n):
        kept.append(not any(kept[other] for other in before.get(one, ())))
    return kept


@given(graphs)
def test_leaders_are_those_of_one_pass(graph: tuple[int, list[tuple[int, int]]]) -> None:
    n, edges = graph
    a, b = ends(edges)
    assert leaders.kept(a, b, n).tolist() == greedy(n, a, b)


@given(graphs, st.integers(0, 2**32 - 1))
def test_the_fallen_name_the_kept_one_that_they_are_most_like(
    graph: tuple[int, list[tuple[int, int]]], seed: int
) -> None:
    n, edges = graph
    a, b = ends(edges)
    value = np.random.default_rng(seed).integers(0, 4, len(a)).astype(float)
    kept = leaders.kept(a, b, n)
    leader, best = leaders.nearest_leader(a, b, value, kept)
    for one in range(n):
        met = [
            (-v, x) for x, y, v in zip(a.tolist(), b.tolist(), value, strict=True)
            if y == one and kept[x]
        ]  # fmt: skip
        assert (not kept[one]) == bool(met)
        assert leader[one] == (min(met)[1] if met else one)
        assert best[one] == -min(met)[0] if met else np.isnan(best[one])


@pytest.mark.parametrize("shape", ["path", "star", "clique of equals", "apart"])
def test_large_shapes(shape: str) -> None:
    n = 100_000
    if shape == "path":
        a, b = np.arange(n - 1), np.arange(1, n)
        wanted = np.arange(n) % 2 == 0
    elif shape == "star":
        a, b = np.zeros(n - 1, np.int64), np.arange(1, n)
        wanted = np.arange(n) == 0
    elif shape == "clique of equals":
        a, b = np.zeros(n - 1, np.int64), np.arange(1, n)
        leader, best = leaders.follow(a, b, np.ones(n - 1), np.ones(n - 1, dtype=bool))
        assert not leader.any()
        assert (best[1:] == 1).all()
        return
    else:
        a = b = np.empty(0, np.int64)
        wanted = np.ones(n, dtype=bool)
    assert leaders.kept(a, b, n).tolist() == wanted.tolist()


def test_what_is_the_same_as_another_shares_its_fate() -> None:
    """0 leads 1, of which 2 and 3 are the same; 4 stands alone, and 5 is the same as it."""
    a, b = np.array([0, 1, 1, 4]), np.array([1, 2, 3, 5])
    same = np.array([False, True, True, True])
    leader, best = leaders.follow(a, b, np.array([0.9, 1.0, 1.0, 1.0]), same)
    assert leader.tolist() == [0, 0, 0, 0, 4, 4]
    assert best[[1, 2, 3, 5]].tolist() == [0.9, 0.9, 0.9, 1.0]


def test_ranks_are_by_preference_and_then_by_uid() -> None:
    uid = np.array([[0, 3], [0, 1], [0, 2], [0, 0]], dtype=np.uint64)
    assert leaders.ranks(uid).tolist() == [3, 1, 2, 0]
    preference = np.array([5.0, np.nan, 5.0, 1.0])
    assert leaders.ranks(uid, preference).tolist() == [1, 3, 0, 2]


@given(graphs, st.integers(1, 4))
def test_of_many_edges_the_first_stay(graph: tuple[int, list[tuple[int, int]]], most: int) -> None:
    _, edges = graph
    a, b = ends(edges)
    kept = first_edges(a, b, most)
    wanted = [
        place
        for place, (x, y) in enumerate(zip(a.tolist(), b.tolist(), strict=True))
        if int(((b == y) & (a < x)).sum()) < most
    ]
    assert kept.tolist() == wanted
