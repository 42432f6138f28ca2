"""Tables of perceptual hashes: two within the radius meet in one of them at least."""

import numpy as np
import pytest

from tamis.pipeline.algorithms.near_pictures import hamming


@pytest.mark.parametrize("radius", [1, 4, 8, 12, 31, 63])
@pytest.mark.parametrize("n", [10, 10_000, 10_000_000])
def test_masks_leave_no_pair_within_the_radius_apart(radius: int, n: int) -> None:
    """Whichever `radius` bits differ, some table keeps the two together."""
    masks = hamming.masks(n, radius)
    generator = np.random.default_rng(radius)
    for _ in range(200):
        bits = generator.permutation(64)[:radius].astype(np.uint64)
        flipped = np.bitwise_or.reduce(np.uint64(1) << bits)
        assert (masks & flipped == 0).any()


def test_more_hashes_are_split_more_finely() -> None:
    few, many = hamming.masks(1_000, 4), hamming.masks(100_000_000, 4)
    assert np.bitwise_count(many).min() > np.bitwise_count(few).max()


def test_refuses_a_radius_of_all_bits() -> None:
    with pytest.raises(ValueError, match="radius 64; give 0 to 63"):
        hamming.masks(10, 64)
