"""Components: in memory and by stars over partitions, against a plain search; and survivors."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.grouping import components, stars

Int64Array = NDArray[np.int64]
graphs = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=60)
    )
)


def ends(edges: list[tuple[int, int]]) -> tuple[Int64Array, Int64Array]:
    a, b = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    return a, b


def judge(n: int, edges: list[tuple[int, int]]) -> list[int]:
    """Spread the smallest label over edges until nothing changes."""
    label = list(range(n))
    changed = True
    while changed:
        changed = False
        for a, b in edges:
            least = min(label[a], label[b])
            changed |= label[a] != least or label[b] != least
            label[a] = label[b] = least
    return label


def dealt(pieces: list[stars.Edges], partitions: int, by_larger: bool) -> list[stars.Edges]:
    """Every piece's edges, by the partitions in which the next star looks for them."""
    shares = [list(stars.split_edges(piece, partitions, by_larger)) for piece in pieces]
    return [
        (np.concatenate([a for a, _ in each]), np.concatenate([b for _, b in each]))
        for each in zip(*shares, strict=True)
    ]


def by_stars(n: int, edges: list[tuple[int, int]], partitions: int, block: int) -> list[int]:
    """Large and small star in turn, as the phases of the duplicate steps do it."""
    blocks = [ends(edges[start : start + block]) for start in range(0, len(edges) or 1, block)]
    read, before = dealt(blocks, partitions, by_larger=False), None
    for _ in range(stars.MOST_TURNS):
        large = [stars.large_star(*one) for one in read]
        found = [stars.unique(*one) for one in dealt(large, partitions, by_larger=True)]
        sums = [stars.checksum(one) for one in found]
        after = sum(count for count, _ in sums), sum(total for _, total in sums) % 2**64
        if after == before:
            break
        small = [stars.small_star(*one) for one in found]
        read, before = dealt(small, partitions, by_larger=False), after
    else:
        pytest.fail("the stars do not come to rest")
    label = np.arange(n)
    node, least = (np.concatenate(side) for side in zip(*found, strict=True))
    assert len(node) == len(set(node.tolist()))
    label[node] = least
    return [int(one) for one in label]


@given(graphs)
def test_labels_are_the_smallest_members(graph: tuple[int, list[tuple[int, int]]]) -> None:
    n, edges = graph
    assert components.connected(*ends(edges), n).tolist() == judge(n, edges)


@given(graphs, st.integers(1, 7), st.integers(1, 20))
def test_stars_over_partitions_give_the_same_labels(
    graph: tuple[int, list[tuple[int, int]]], partitions: int, block: int
) -> None:
    n, edges = graph
    assert by_stars(n, edges, partitions, block) == judge(n, edges)


def path(n: int) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(n - 1)]


def shuffled_path(n: int) -> list[tuple[int, int]]:
    nodes = np.random.default_rng(0).permutation(n).tolist()
    return list(pairwise(nodes))


def star(n: int) -> list[tuple[int, int]]:
    return [(n - 1, i) for i in range(n - 1)]


@pytest.mark.parametrize("make", [path, shuffled_path, star])
def test_stars_end_on_the_hard_shapes(make: Callable[[int], list[tuple[int, int]]]) -> None:
    """A long path, a path in random order and a star around the largest node become one."""
    assert by_stars(3000, make(3000), partitions=5, block=400) == [0] * 3000


def test_a_random_graph_with_many_components() -> None:
    generator = np.random.default_rng(4)
    a, b = generator.integers(0, 20_000, (2, 9_000))
    edges = list(zip(a.tolist(), b.tolist(), strict=True))
    assert by_stars(20_000, edges, 8, 1000) == components.connected(a, b, 20_000).tolist()


def test_refuses_nodes_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="nodes 1 to 5, and n is 5"):
        components.connected(np.array([1]), np.array([5]), 5)


def uids(low: list[int]) -> NDArray[np.uint64]:
    return np.array([[0, value] for value in low], dtype=np.uint64)


def test_the_preferred_survives_and_then_the_smallest_uid() -> None:
    label = np.array([0, 0, 0, 3, 3, 5])
    uid = uids([9, 2, 4, 8, 1, 0])
    assert components.survivors(label, uid).tolist() == [1, 1, 1, 4, 4, 5]
    pixels = np.array([100, 50, 100, 7, 6, 1], dtype=np.uint32)
    assert components.survivors(label, uid, pixels).tolist() == [2, 2, 2, 3, 3, 5]
    score = np.array([np.nan, 0.1, 0.1, np.nan, np.nan, np.nan])
    assert components.survivors(label, uid, score).tolist() == [1, 1, 1, 4, 4, 5]


@given(graphs, st.integers(0, 99))
def test_survivors_do_not_depend_on_the_order(
    graph: tuple[int, list[tuple[int, int]]], seed: int
) -> None:
    n, edges = graph
    a, b = ends(edges)
    generator = np.random.default_rng(seed)
    uid = uids(generator.permutation(n).tolist())
    preference = generator.integers(0, 3, n)
    shuffle = generator.permutation(n)
    place = np.argsort(shuffle)
    first = components.survivors(components.connected(a, b, n), uid, preference)
    label = components.connected(place[a], place[b], n)
    again = components.survivors(label, uid[shuffle], preference[shuffle])
    assert shuffle[again][place].tolist() == first.tolist()


def test_the_partner_is_the_most_alike_and_then_the_smallest_uid() -> None:
    a, b = np.array([0, 0, 1]), np.array([1, 2, 2])
    partner, value = components.partners(a, b, np.array([0.8, 0.9, 0.9]), uids([5, 1, 0, 7]))
    assert partner.tolist() == [2, 2, 1, -1]
    assert value[:3].tolist() == [0.9, 0.9, 0.9]
    assert np.isnan(value[3])
