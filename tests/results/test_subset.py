from __future__ import annotations

import io
from contextlib import suppress
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.results import subset
from tests.support.damaging import damaged


def written(uids: list[str], spans: int = 1) -> bytes:
    """Split by the leading digits, so that each span is smaller than the next."""
    words = np.array([[int(uid[:16], 16), int(uid[16:], 16)] for uid in uids], np.uint64)
    words = words.reshape(-1, 2)
    bucket = (words[:, 0] >> np.uint64(32)).astype(np.int64) * spans >> 32
    out = io.BytesIO()
    subset.write(out, len(uids), [words[bucket == b] for b in range(spans)])
    return out.getvalue()


@given(st.lists(st.binary(min_size=16, max_size=16), unique=True, max_size=60), st.integers(1, 9))
def test_it_is_datacomps_sorted_array(raw: list[bytes], spans: int) -> None:
    uids = [item.hex() for item in raw]
    pairs = [(int(uid[:16], 16), int(uid[16:32], 16)) for uid in uids]
    judged = np.array(pairs, np.dtype("u8,u8"))
    judged.sort()
    data = written(uids, spans)
    loaded = np.load(io.BytesIO(data), allow_pickle=False)
    assert loaded.dtype == np.dtype("u8,u8")
    assert loaded.tolist() == judged.tolist()
    assert data == written(uids[::-1], 1)


def test_another_number_than_announced_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 uids in the spans, but total is 2"):
        subset.write(io.BytesIO(), 2, [np.zeros((1, 2), np.uint64)])


def test_a_pickle_is_never_loaded() -> None:
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a subset file holds .*, not object"):
        list(subset.changes(io.BytesIO(out.getvalue()), []))


def spanned(uids: set[str], spans: int) -> list[np.ndarray[Any, Any]]:
    """Halves, in as many spans, each of them smaller than the next."""
    names = sorted(uids)
    return [
        np.array([(int(u[:16], 16), int(u[16:], 16)) for u in piece[::-1]], np.uint64).reshape(
            -1, 2
        )
        for piece in (
            names[len(names) * n // spans : len(names) * (n + 1) // spans] for n in range(spans)
        )
    ]


# Few first halves, so that two sets share some uids and some halves.
UIDS = st.sets(
    st.tuples(st.integers(0, 3), st.integers(0, 5)).map(lambda n: f"{n[0] << 60:016x}{n[1]:016x}")
)


@given(UIDS, UIDS, st.integers(1, 5))
def test_changes_are_the_differences_of_the_sets(old: set[str], new: set[str], spans: int) -> None:
    with mock.patch.object(subset, "BLOCK", 3):
        pairs = list(subset.changes(io.BytesIO(written(sorted(old))), spanned(new, spans)))
    added, removed = (
        [f"{high:016x}{low:016x}" for pair in pairs for high, low in pair[side].tolist()]
        for side in (0, 1)
    )
    assert added == sorted(new - old)
    assert removed == sorted(old - new)


def test_a_former_file_that_is_cut_short_is_refused() -> None:
    file = io.BytesIO(written([f"{i:032x}" for i in range(3)])[:-1])
    with pytest.raises(ValueError, match="cut short"):
        list(subset.changes(file, spanned({f"{1:032x}"}, 1)))


@given(damaged(written([f"{i:032x}" for i in range(3)])))
def test_a_former_file_whose_bytes_are_others_is_read_or_refused(data: bytes) -> None:
    """A header of numpy is a Python expression: its parser has errors of its own."""
    with suppress(ValueError):
        list(subset.changes(io.BytesIO(data), spanned({f"{1:032x}"}, 1)))


@pytest.mark.parametrize(
    "shape", ["(-3,)", "()", "(3, 1)", "3", "(1 << 70,)", "(True,)", "((((", "{"]
)
def test_a_former_file_of_another_shape_is_refused(shape: str) -> None:
    header = (
        f"{{'descr': [('f0', '<u8'), ('f1', '<u8')], 'fortran_order': False, 'shape': {shape}}}"
    )
    text = header.ljust(117).encode() + b"\n"
    file = io.BytesIO(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(ValueError, match=r"numpy header|holds a list|cut short"):
        list(subset.changes(file, spanned({f"{1:032x}"}, 1)))
