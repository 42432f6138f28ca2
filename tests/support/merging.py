"""Ranges of a file merged one after another: what ``pipeline.store.ranges`` must ask for at once."""

from __future__ import annotations

from collections.abc import Iterable

from tamis.pipeline.store.ranges import MERGE_GAP
from tamis.pipeline.store.storage import Range


def merge_ranges(ranges: Iterable[Range], gap: int = MERGE_GAP) -> list[Range]:
    """Few ranges (offset, size) that cover all, in order: gaps up to ``gap`` are closed."""
    found: list[Range] = []
    for offset, size in sorted(ranges):
        first, length = found[-1] if found else (offset, 0)
        if found and offset <= first + length + gap:
            found[-1] = first, max(length, offset + size - first)
        else:
            found.append((offset, size))
    return found
