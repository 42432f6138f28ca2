"""Padding changes the shape that a kernel sees, and nothing that a caller sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.encoders.batches import encode_distinct, encode_padded


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from("abcd"), max_size=20))
def test_texts_come_back_in_order_and_each_is_encoded_once(texts: list[str]) -> None:
    seen: list[str] = []

    def fn(batch: list[str]) -> NDArray[np.float32]:
        seen.extend(batch)
        return np.array([[ord(text)] for text in batch], dtype=np.float32).reshape(-1, 1)

    want = np.array([[ord(text)] for text in texts], dtype=np.float32).reshape(-1, 1)
    np.testing.assert_array_equal(encode_distinct(fn, texts), want)
    assert sorted(seen) == sorted(set(texts))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20), st.integers(1, 7))
def test_pictures_come_back_in_order_and_batches_have_one_size(rows: int, size: int) -> None:
    seen: list[int] = []

    def fn(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(len(batch))
        return batch + 1

    items = np.arange(rows, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(encode_padded(fn, items, size), items + 1)
    assert set(seen) <= {size if rows else 0}


def test_arrays_are_padded_with_their_last_row() -> None:
    batches: list[NDArray[np.float32]] = []

    def fn(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        batches.append(batch)
        return np.asarray(batch.sum(axis=(1, 2, 3)))[:, None]

    items = np.arange(5 * 12, dtype=np.float32).reshape(5, 3, 2, 2)
    got = encode_padded(fn, items, 4)
    np.testing.assert_array_equal(got[:, 0], items.sum(axis=(1, 2, 3)))
    assert [len(batch) for batch in batches] == [4, 4]
    np.testing.assert_array_equal(batches[1], np.repeat(items[4:], 4, axis=0))


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size is 0: at least 1"):
        encode_padded(lambda batch: batch, np.zeros((1, 1), np.float32), 0)
