"""Layouts of pictures, against a plain comparison of what they hold."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamis.pipeline.algorithms.near_pictures import layouts

UInt8Array = NDArray[np.uint8]


def drawn(n: int, seed: int) -> tuple[UInt8Array, UInt8Array]:
    """Light and colour of n pictures; every second is the one before it with some noise."""
    draw = np.random.default_rng(seed)
    light = draw.integers(0, 256, (n, 16, 16))
    light = draw.integers(0, 200, (n, 1, 1)) + light * draw.integers(1, 55, (n, 1, 1)) // 255
    colour = draw.integers(0, 256, (n, 4, 4, 3))
    light[1::2] = light[: n // 2 * 2 : 2] + draw.integers(-3, 4, (n // 2, 16, 16))
    colour[1::2] = colour[: n // 2 * 2 : 2] + draw.integers(-5, 6, (n // 2, 4, 4, 3))
    return np.clip(light, 0, 255).astype(np.uint8), np.clip(colour, 0, 255).astype(np.uint8)


def encoded(light: UInt8Array, colour: UInt8Array) -> UInt8Array:
    made = layouts.encode(light, colour)
    for one, a, b in zip(made, light, colour, strict=True):
        assert (one == layouts.encode(a, b)).all()
    return made


def test_colours_are_those_of_the_formula() -> None:
    light, colour = drawn(20, 2)
    for layout, cells in zip(
        encoded(light, colour), colour.reshape(20, 16, 3).tolist(), strict=True
    ):
        cb = [128 + ((-43 * r - 85 * g + 128 * b + 128) >> 8) for r, g, b in cells]
        cr = [128 + ((128 * r - 107 * g - 21 * b + 128) >> 8) for r, g, b in cells]
        assert layout[130:].tolist() == [min(max(value, 0), 255) for value in cb + cr]


def slow(a: bytes, b: bytes) -> Any:
    """The definition, cell by cell."""
    both, contrast = [], 255.0
    for layout in (a, b):
        low, high, packed = layout[0], layout[1], layout[2:130]
        levels = [level for byte in packed for level in (byte >> 4, byte & 15)]
        both.append([low + level * (high - low) / 15 for level in levels])
        contrast = min(contrast, max(24, high - low))
    apart = [abs(x - y) for x, y in zip(*both, strict=True)]
    mean = (sum(x * x for x in apart) / 256) ** 0.5
    colour = max(abs(x - y) for x, y in zip(a[130:], b[130:], strict=True))
    return max(max(apart) / contrast, 3 * mean / contrast, colour / 64)


@given(st.integers(0, 2**32 - 1))
def test_the_difference_is_that_of_the_cells(seed: int) -> None:
    rows = encoded(*drawn(6, seed))
    a, b = np.triu_indices(6)
    found = layouts.difference(rows, a, b)
    wanted = [slow(rows[i].tobytes(), rows[j].tobytes()) for i, j in zip(a, b, strict=True)]
    assert found == pytest.approx(wanted, abs=1e-9)
    assert (found[a == b] == 0).all()


def test_light_is_kept_within_half_a_level() -> None:
    light, colour = drawn(50, 1)
    for cells, row in zip(light, encoded(light, colour), strict=True):
        low, high = int(cells.min()), int(cells.max())
        assert (row[0], row[1]) == (low, high)
        levels = np.stack([row[2:130] >> 4, row[2:130] & 15], axis=1).ravel().astype(int)
        kept = low + levels * (high - low) / 15
        assert np.abs(kept - cells.ravel()).max() <= (high - low) / 30 + 1e-9


@pytest.mark.parametrize("value", [0, 7, 255])
def test_flat_pictures_differ_in_light_and_colour(value: int) -> None:
    def flat(red: int, green: int, blue: int) -> UInt8Array:
        grey = round(0.299 * red + 0.587 * green + 0.114 * blue)
        colour = np.broadcast_to(np.array([red, green, blue], np.uint8), (4, 4, 3))
        return layouts.encode(np.full((16, 16), grey, np.uint8), colour)

    other = 255 if value < 128 else 0
    rows = [flat(value, value, value), flat(other, other, other), flat(200, 30, 30), flat(30, 97, 30)]  # fmt: skip
    table = np.stack(rows)
    a, b = np.triu_indices(4, 1)
    assert layouts.difference(table, a, b).min() > 0.5


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.11, 0.5]))
def test_a_sieve_loses_no_pair(seed: int, bound: float) -> None:
    rows = encoded(*drawn(24, seed))
    a, b = np.triu_indices(24, 1)
    within = layouts.difference(rows, a, b) <= bound
    passing = layouts.Sieve(rows, bound).passing(slice(0, 24), slice(0, 24))
    assert passing[a, b][within].all()
    assert passing[b, a][within].all()
    assert layouts.possible(rows, a, b, bound)[within].all()
    light = layouts.mean_light(rows)
    assert (np.abs(light[a] - light[b])[within] <= layouts.mean_within(bound) + 1e-9).all()


def test_a_sieve_excludes_most_others() -> None:
    rows = encoded(*drawn(100, 3))
    a, b = np.triu_indices(100, 1)
    assert layouts.Sieve(rows, 0.11).passing(slice(0, 100), slice(0, 100))[a, b].mean() < 0.1


def test_keys_are_equal_for_equal_pictures_alone() -> None:
    rows = np.repeat(encoded(*drawn(40, 5)), 2, axis=0)
    hashes = np.repeat(np.arange(40, dtype=np.uint64) // np.uint64(2), 2)
    keys = layouts.keys(rows, hashes)
    assert (keys[::2] == keys[1::2]).all()
    assert len(np.unique(keys)) == len(
        {(h, r.tobytes()) for h, r in zip(hashes, rows, strict=True)}
    )
