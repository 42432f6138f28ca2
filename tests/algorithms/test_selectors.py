"""Each selector against its paper's definition, on cases small enough to do by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.choosing import (
    coverage,
    importance,
    prototypes,
    random_choice,
    score,
)

Mask = NDArray[np.bool_]


def uids(n: int) -> NDArray[np.uint64]:
    return np.random.default_rng(n).integers(0, 1 << 63, (n, 2), dtype=np.uint64)


def rows(mask: Mask) -> list[int]:
    return np.flatnonzero(mask).tolist()


SELECTORS: dict[str, Callable[[NDArray[np.float32], NDArray[np.uint64], int], Mask]] = {
    "prototypes": lambda value, uid, count: prototypes.select(
        (uid[:, 0] % np.uint64(4)).astype(np.int32), value, uid, count, 4, 0.5
    ),
    "coverage": lambda value, uid, count: coverage.select(value, uid, count, seed=1),
    "coverage, beta": lambda value, uid, count: coverage.select(
        value, uid, count // 2, seed=1, beta=0.3, hard="low"
    ),
    "random": lambda value, uid, count: random_choice.select(uid, count, seed=1),
    "score": score.top,
    "importance": lambda value, uid, count: score.top(
        importance.perturbed(value, uid, seed=1), uid, count
    ),
}


@pytest.mark.parametrize("name", SELECTORS)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.7, 2.0]), min_size=1, max_size=60), st.data())
def test_shuffled_rows_give_the_same_choice(
    name: str, values: list[float], data: st.DataObject
) -> None:
    value, uid = np.array(values, np.float32), uids(len(values))
    count = data.draw(st.integers(0, len(values)))
    shuffle = np.array(data.draw(st.permutations(range(len(values)))))
    mask = SELECTORS[name](value, uid, count)
    assert (SELECTORS[name](value[shuffle], uid[shuffle], count) == mask[shuffle]).all()
    assert mask.sum() == (count // 2 if name == "coverage, beta" else count)


def test_prototypes_keeps_the_farthest() -> None:
    distance = np.array([0.1, 0.5, 0.3, 0.9], np.float32)
    cluster = np.zeros(4, np.int32)
    assert rows(prototypes.select(cluster, distance, uids(4), 2, clusters=1)) == [1, 3]


def test_prototypes_floor_keeps_a_tight_cluster_from_emptying() -> None:
    """4 of 8 from 2 clusters with floor 0.5: one each for certain, the other two the farthest."""
    cluster = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.int32)
    distance = np.array([0.1, 0.2, 0.15, 0.05, 0.6, 0.7, 0.8, 0.9], np.float32)
    assert rows(prototypes.select(cluster, distance, uids(8), 4, 2)) == [4, 5, 6, 7]
    assert rows(prototypes.select(cluster, distance, uids(8), 4, 2, floor=0.5)) == [1, 5, 6, 7]
    assert rows(prototypes.select(cluster, distance, uids(8), 4, 2, floor=1.0)) == [1, 2, 6, 7]


def test_coverage_budgets_by_hand() -> None:
    """Sizes 10, 2, 0, 5 and 9 to keep: 0 of 0, then 2 of 2 (9 // 3), 3 of 5 (7 // 2), 4 of 10."""
    assert coverage.budgets(np.array([10, 2, 0, 5]), 9).tolist() == [4, 2, 0, 3]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=50), st.data())
def test_coverage_budgets_meet_the_total_and_the_sizes(
    sizes: list[int], data: st.DataObject
) -> None:
    total = data.draw(st.integers(0, sum(sizes)))
    given_ = coverage.budgets(np.array(sizes), total)
    assert given_.sum() == total
    assert (given_ <= sizes).all()


def test_coverage_strata_have_equal_width() -> None:
    values = np.array([0.0, 0.99, 1.0, 2.5, 4.9, 5.0])
    assert coverage.strata(values, 0.0, 5.0, 5).tolist() == [0, 0, 1, 2, 4, 4]
    assert coverage.strata(np.full(3, 7.0), 7.0, 7.0).tolist() == [0, 0, 0]


def test_coverage_drops_the_hardest_and_covers_the_rest() -> None:
    """100 easy samples, 10 of middle and 10 of high difficulty; the 12 hardest go (beta 0.1).

    Two strata remain, of 100 and 8: 20 to keep are 8 of the 8 and 12 of the 100.
    """
    value = np.concatenate([np.zeros(100), np.full(10, 1.0), np.full(10, 9.0)])
    mask = coverage.select(value, uids(120), 20, seed=0, beta=0.1)
    assert mask[:100].sum() == 12
    assert mask[100:110].sum() == 8
    assert mask[110:].sum() == 0
    low = coverage.select(-value, uids(120), 20, seed=0, beta=0.1, hard="low")
    assert (low == mask).all()


def test_coverage_refuses_more_than_is_left() -> None:
    with pytest.raises(ValueError, match=r"a budget of 10 lies outside 0\.\.9.*lower beta"):
        coverage.select(np.arange(10.0), uids(10), 10, seed=0, beta=0.1)


def test_random_epochs_are_nested_inside_and_independent_between() -> None:
    uid = uids(20_000)
    tenth, fifth = (random_choice.select(uid, count, seed=3) for count in (2000, 4000))
    assert (fifth[tenth]).all()
    other = random_choice.select(uid, 2000, seed=3, epoch=1)
    assert abs((tenth & other).sum() - 200) < 60


def test_datacomps_fraction_rule_is_a_product_of_floats() -> None:
    """0.29 * 100 is 28.999999999999996, and int() of it 28: theirs, and so ours."""
    assert score.cut_position(100, 0.29) == 28
    assert score.cut_position(10, 0.3) == 3
    assert score.cut_position(8, 1.0) == 7


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: coverage.hardest(np.ones(2), uids(2), 1.0), r"beta 1\.0 lies outside"),
        (lambda: prototypes.floor_count(5, 2, 1.5), r"floor 1\.5 lies outside"),
        (
            lambda: prototypes.select(np.zeros(2, np.int32), np.ones(2), uids(2), 3, 1),
            r"count 3 lies outside 0\.\.2",
        ),
        (
            lambda: importance.log_ratio(np.zeros(4, np.int64), np.ones(4, np.int64)),
            "the target has 0 n-grams and the input 4",
        ),
    ],
)
def test_values_outside_their_range_are_refused(call: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()
