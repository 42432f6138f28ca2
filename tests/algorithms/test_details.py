"""Details of pictures, against a plain comparison of what they hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.near_pictures import details

UInt8Array = NDArray[np.uint8]


def drawn(n: int, seed: int, side: int | None = None) -> list[details.Cells]:
    """Cells of n pictures; every second is the one before it with some noise."""
    draw = np.random.default_rng(seed)
    made: list[details.Cells] = []
    for number in range(n):
        pixels = int(draw.choice([20, 47, 48, 95, 96, 70_000])) if side is None else side
        low, spread = int(draw.integers(0, 100)), int(draw.integers(2, 155))
        kinds = [(32, 32), (48, 48), (12, 12, 3)]
        cells = [low + draw.integers(0, spread, kind) for kind in kinds]
        if number % 2:
            before = made[-1][1:]
            cells = [kept + draw.integers(-3, 4, kept.shape) for kept in before]
        coarse, fine, colour = (np.clip(one, 0, 255).astype(np.uint8) for one in cells)
        made.append(details.Cells(pixels, coarse, fine, colour))
    return made


def table(pictures: list[details.Cells]) -> UInt8Array:
    raw = b"".join(details.encode(one) for one in pictures)
    return np.frombuffer(raw, np.uint8).reshape(-1, details.BYTES)


def chroma(colour: UInt8Array) -> list[tuple[int, int]]:
    """Cb and Cr of each cell, by the formula."""
    levels = []
    for r, g, b in colour.reshape(-1, 3).tolist():
        cb = 128 + ((-43 * r - 85 * g + 128 * b + 128) >> 8)
        cr = 128 + ((128 * r - 107 * g - 21 * b + 128) >> 8)
        levels.append((min(max(cb, 0), 255), min(max(cr, 0), 255)))
    return levels


def slow(a: details.Cells, b: details.Cells) -> float:
    """The definition, cell by cell."""
    if min(a.side, b.side) < 48:
        return 0.0

    def light(one: UInt8Array, other: UInt8Array) -> float:
        rows = one.ravel().tolist(), other.ravel().tolist()
        contrast = min(max(row) - min(row) for row in rows)
        return max(abs(x - y) for x, y in zip(*rows, strict=True)) / max(24, contrast)

    values = [light(a.coarse, b.coarse)]
    if min(a.side, b.side) >= 96:
        values.append(0.75 * light(a.fine, b.fine))
    return max(*values, shared(chroma(a.colour), chroma(b.colour)) / 45)


def shared(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
    """The largest difference in colour that a block of four cells has at the least, all in one direction."""
    best = 0
    for kind in (0, 1):
        apart = [x[kind] - y[kind] for x, y in zip(one, other, strict=True)]
        for corner in (12 * row + column for row in range(11) for column in range(11)):
            four = [apart[corner + step] for step in (0, 1, 12, 13)]
            best = max(best, min(four), -max(four))
    return best


@given(st.integers(0, 2**32 - 1))
def test_the_difference_is_that_of_the_cells(seed: int) -> None:
    pictures = drawn(6, seed)
    a, b = np.triu_indices(6)
    found = details.difference(table(pictures), a, b)
    wanted = [slow(pictures[i], pictures[j]) for i, j in zip(a, b, strict=True)]
    assert found == pytest.approx(wanted, abs=1e-12)
    assert (found[a == b] == 0).all()
    assert details.difference(table(pictures), b, a).tolist() == found.tolist()


def test_pairs_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table(drawn(40, 3))
    a, b = np.triu_indices(40, 1)
    whole = details.difference(rows, a, b)
    monkeypatch.setattr(details, "_PAIRS", 7)
    assert details.difference(rows, a, b).tolist() == whole.tolist()


@pytest.mark.parametrize(("side", "found"), [(47, 0.0), (48, 0.0), (95, 0.0), (96, 0.75)])
def test_fine_cells_count_where_both_pictures_are_large(side: int, found: float) -> None:
    one, other = drawn(1, 1, side)[0], drawn(1, 1, 200)[0]
    fine = np.where(one.fine == one.fine.max(), one.fine.min(), one.fine)
    fine[0, 0], fine[0, 1] = one.fine.max(), one.fine.min()
    one = one._replace(fine=fine)
    assert details.difference(table([one, other]), np.array([0]), np.array([1])) == pytest.approx(
        found, abs=0.05
    )
