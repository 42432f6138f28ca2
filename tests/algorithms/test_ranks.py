"""Ranks inside clusters, against a sort of Python tuples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing.ranks import Which, ranks

ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.25, 0.5, 1.5])), max_size=30)


@given(ROWS, st.sampled_from(["hard", "easy", "random"]))
def test_ranks_count_what_goes_before_in_the_cluster(
    rows: list[tuple[int, float]], which: Which
) -> None:
    cluster = np.array([row[0] for row in rows], np.int32)
    distance = np.array([row[1] for row in rows], np.float32)
    uid = np.random.default_rng(len(rows)).integers(0, 9, (len(rows), 2), dtype=np.uint64)
    uid[:, 1] = uid[:, 1] * np.uint64(100) + np.arange(len(rows), dtype=np.uint64)
    first = {
        "hard": (-distance).tolist(),
        "easy": distance.tolist(),
        "random": order.hashed(uid, 3, "ranks").tolist(),
    }[which]
    places = [(first[row], *uid[row].tolist()) for row in range(len(rows))]
    expected = [
        1 + sum(places[other] < places[row] for other in np.flatnonzero(cluster == cluster[row]))
        for row in range(len(rows))
    ]
    assert ranks(cluster, distance, uid, which, seed=3).tolist() == expected


def test_hard_gives_rank_1_to_the_farthest_and_breaks_ties_by_uid() -> None:
    cluster = np.array([0, 0, 0, 1], np.int32)
    distance = np.array([0.2, 0.9, 0.2, 0.1], np.float32)
    uid = np.array([[5, 0], [9, 0], [4, 7], [1, 0]], np.uint64)
    assert ranks(cluster, distance, uid).tolist() == [3, 1, 2, 1]
    assert ranks(cluster, distance, uid, "easy").tolist() == [2, 3, 1, 1]


def test_random_ranks_change_with_the_seed() -> None:
    uid = np.arange(40, dtype=np.uint64).reshape(20, 2)
    cluster, distance = np.zeros(20, np.int32), np.zeros(20, np.float32)
    first, second = (ranks(cluster, distance, uid, "random", seed) for seed in (1, 2))
    assert sorted(first.tolist()) == list(range(1, 21))
    assert first.tolist() != second.tolist()


def test_an_unknown_order_is_refused() -> None:
    uid = np.zeros((1, 2), np.uint64)
    with pytest.raises(ValueError, match="which is 'best', and must be hard, easy or random"):
        ranks(np.zeros(1, np.int32), np.zeros(1), uid, "best")  # type: ignore[arg-type]


def test_a_distance_that_is_nan_is_refused() -> None:
    uid = np.zeros((2, 2), np.uint64)
    with pytest.raises(ValueError, match="1 of 2 values of distance"):
        ranks(np.zeros(2, np.int32), np.array([0.1, np.nan]), uid)
