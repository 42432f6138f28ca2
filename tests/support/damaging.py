"""Bytes of a sound file, a few of them changed, or cut short."""

from __future__ import annotations

from hypothesis import strategies as st


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """Up to five bytes are others; the file may end early."""
    edits = st.lists(
        st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), min_size=1, max_size=5
    )
    ends = st.just(len(good)) | st.integers(1, len(good))
    return st.builds(lambda changes, end: _changed(good, changes)[:end], edits, ends)


def _changed(good: bytes, edits: list[tuple[int, int]]) -> bytes:
    data = bytearray(good)
    for place, value in edits:
        data[place] = value
    return bytes(data)
