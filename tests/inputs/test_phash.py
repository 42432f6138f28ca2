from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dctn

from tamis.pipeline.inputs.images import inspect
from tamis.pipeline.inputs.phash import phash
from tests.support.pictures import encode, noise

MARGIN = 4 * 128  # of scipy's transform, which is twice as large in each direction


def slow_phash(grey: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> int:
    """By scipy's transform, bit by bit."""
    low = dctn(grey.astype(float), type=2)[:8, :8].ravel()
    bits = 0
    for value in low:
        bits = bits << 1 | int(value > np.median(low) + MARGIN)
    return bits


@given(st.integers(0, 1000))
def test_it_is_the_dct_hash(seed: int) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8)
    # The rounded cosines may turn a frequency that lies next to the median.
    assert (int(phash(grey)) ^ slow_phash(grey)).bit_count() <= 2


@pytest.mark.parametrize("colour", [1, 100, 255])
def test_flat_pictures_are_alike(colour: int) -> None:
    assert phash(np.full((32, 32), colour, np.uint8)) == phash(np.full((32, 32), 50, np.uint8))


def test_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(31, 32\)"):
        phash(np.zeros((31, 32), np.uint8))


def test_smaller_and_recompressed_copies_are_near_and_others_far() -> None:
    copies, others = [], []
    for seed in range(12):
        image = noise(600, 500, seed=seed)
        known = inspect(encode(image, "PNG")).phash
        small = image.resize((200, 167), Image.Resampling.LANCZOS)
        copies += [inspect(encode(small, "PNG")).phash ^ known]
        copies += [inspect(encode(image, "JPEG", quality=40)).phash ^ known]
        others += [inspect(encode(noise(600, 500, seed=seed + 100))).phash ^ known]
    assert max(bits.bit_count() for bits in copies) <= 6
    assert min(bits.bit_count() for bits in others) >= 10
