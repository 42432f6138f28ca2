"""Padding changes the shape that a kernel sees, and nothing that a caller sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.encoders.batches import encode_distinct, encode_padded


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from("abcd"), max_size=20), st.integers(1, 7))
def test_texts_come_back_in_order_and_batches_have_one_size(texts: list[str], size: int) -> None:
    seen: list[int] = []

    def fn(batch: list[str]) -> NDArray[np.float32]:
        seen.append(len(batch))
        return np.array([[ord(text)] for text in batch], dtype=np.float32).reshape(-1, 1)

    want = np.array([[ord(text)] for text in texts], dtype=np.float32).reshape(-1, 1)
    np.testing.assert_array_equal(encode_padded(fn, texts, size), want)
    assert set(seen) <= {size if texts else 0}
    seen.clear()
    np.testing.assert_array_equal(encode_distinct(fn, texts, size), want)
    assert sum(seen) < len(set(texts)) + size


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
        encode_padded(lambda batch: np.zeros((len(batch), 1), np.float32), ["a"], 0)
