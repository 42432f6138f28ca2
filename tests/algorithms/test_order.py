"""Hashes and choices depend on the uid and the seed, never on the order of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms import order

FLOATS = st.floats(-1e6, 1e6, allow_nan=False)


def _buckets(count: int) -> st.SearchStrategy[tuple[int, list[int]]]:
    return st.tuples(st.just(count), st.lists(st.integers(0, count - 1), max_size=300))


def uids(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 64, (n, 2), dtype=np.uint64)


def test_parse_keeps_the_order_of_the_hex_digits() -> None:
    texts = ["00000000000000010000000000000002", "ffffffffffffffff0000000000000000"]
    assert order.parse(texts).tolist() == [[1, 2], [(1 << 64) - 1, 0]]
    values = [f"{high:016x}{low:016x}" for high, low in uids(100).tolist()]
    parsed = order.parse(values)
    rows = np.lexsort((parsed[:, 1], parsed[:, 0]))
    assert [values[row] for row in rows] == sorted(values)


def test_parse_names_the_row_of_a_uid_of_another_length() -> None:
    with pytest.raises(ValueError, match="'abc' at row 1 has 3 characters"):
        order.parse(["0" * 32, "abc"])


def test_mix_gives_the_published_stream_of_splitmix64() -> None:
    """The first outputs of the reference generator for the seeds 0 and 1234567."""
    first = order._mix(np.array([0, 1234567], np.uint64))
    assert first.tolist() == [0xE220A8397B1DCDAF, 6457827717110365317]


def test_hashes_follow_the_stated_formula() -> None:
    def mix(value: int) -> int:
        mask = (1 << 64) - 1
        z = (value + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    rows = uids(20)
    start = order.derived_seed(42, "test")
    expected = [mix(mix(start ^ high) ^ low) for high, low in rows.tolist()]
    assert order.hashed(rows, 42, "test").tolist() == expected


def test_hashes_are_uniform_even_over_consecutive_uids() -> None:
    """Chi-square over 64 cells, 64,000 uids that differ in the low half only."""
    rows = np.zeros((64_000, 2), np.uint64)
    rows[:, 1] = np.arange(64_000)
    cells = np.bincount((order.hashed(rows, 1) >> np.uint64(58)).astype(np.int64), minlength=64)
    assert ((cells - 1000.0) ** 2 / 1000.0).sum() < 110  # 63 degrees of freedom, p = 0.0002


def test_seeds_and_purposes_choose_independently() -> None:
    rows = uids(20_000)
    first = order.hashed(rows, 1, "a") < np.uint64(1 << 62)
    for other in (order.hashed(rows, 1, "b"), order.hashed(rows, 2, "a")):
        both = first & (other < np.uint64(1 << 62))
        assert abs(both.mean() - 1 / 16) < 0.01


@given(st.lists(st.integers(0, 5), max_size=40), st.data())
def test_smallest_is_the_head_of_the_full_sort(keys: list[int], data: st.DataObject) -> None:
    key = np.array(keys, np.uint64)
    uid = np.array(
        [[data.draw(st.integers(0, 2)), row] for row in range(len(keys))], np.uint64
    ).reshape(-1, 2)
    count = data.draw(st.integers(0, len(keys)))
    expected = sorted(range(len(keys)), key=lambda row: (key[row], *uid[row]))[:count]
    assert order.smallest(key, uid, count).tolist() == expected


def test_smallest_refuses_a_count_above_the_rows() -> None:
    with pytest.raises(ValueError, match=r"count 4 lies outside 0\.\.3"):
        order.smallest(np.zeros(3), uids(3), 4)


@given(st.lists(FLOATS, min_size=1, max_size=30))
def test_descending_keys_sort_as_the_negated_values(values: list[float]) -> None:
    array = np.array(values)
    key = order.descending(array)
    for i in range(len(array)):
        assert ((key < key[i]) == (array > array[i])).all()
        assert ((key == key[i]) == (array == array[i])).all()


def test_descending_treats_both_zeros_alike() -> None:
    assert np.unique(order.descending(np.array([0.0, -0.0]))).size == 1


def test_values_that_are_not_finite_are_counted_in_the_error() -> None:
    values = np.array([0.0, np.nan, np.inf], np.float32)
    with pytest.raises(ValueError, match=r"2 of 3 values of score .* \(nan\) at 1: drop"):
        order.descending(values)


def test_uniform_stays_inside_the_open_interval() -> None:
    ends = order.uniform(np.array([0, (1 << 64) - 1], np.uint64))
    assert 0.0 < ends[0] < ends[1] < 1.0
    assert np.isfinite(-np.log(-np.log(ends))).all()


def test_a_uid_of_another_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match=r"uid is int64 \(3, 2\)"):
        order.hashed(np.zeros((3, 2), np.int64), 0)


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_unchecked_keys_descend_and_give_the_values_back(values: list[float]) -> None:
    floats = np.array(values)
    key = order.descending_unchecked(floats)
    assert np.array_equal(order.from_descending(key), floats)
    assert np.array_equal(floats[np.argsort(key, kind="stable")], -np.sort(-floats))
    assert np.array_equal(key[:, None] == key, floats[:, None] == floats)


@given(st.integers(0, 2**32 - 1), st.integers(0, 400), st.integers(1, 400), st.integers(1, 5))
def test_rows_by_several_keys_are_as_lexsort_has_them(
    seed: int, n: int, different: int, others: int
) -> None:
    """Also where the first key repeats often, and where rows are wholly equal: these stay in their order."""
    draw = np.random.default_rng(seed)
    first = draw.integers(0, 2**64, different, dtype=np.uint64)[draw.integers(0, different, n)]
    second = draw.integers(0, others, n)
    third = draw.random(n) < 0.5
    found = order.rows_by(first, second, third)
    assert found.dtype == np.int64
    assert found.tolist() == np.lexsort((third, second, first)).tolist()
    pairs = np.stack([first, second.astype(np.uint64)], axis=1)
    assert order.by_uid(pairs).tolist() == np.lexsort((pairs[:, 1], pairs[:, 0])).tolist()


@given(st.sampled_from([3, 1 << 16, 1 << 20]).flatmap(_buckets))
def test_rows_by_bucket_keep_their_order(drawn: tuple[int, list[int]]) -> None:
    count, buckets = drawn
    found = order.by_bucket(np.array(buckets, dtype=np.int64), count)
    assert found.tolist() == sorted(range(len(buckets)), key=buckets.__getitem__)
