"""Picture signals against Pillow, NumPy's own statistics, and pictures whose answer is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tamis.pipeline.signals import picture_statistics

GREYS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape)
)


def levels(grey: np.ndarray) -> list[int]:
    """The histogram of a grey picture."""
    return np.bincount(grey.ravel(), minlength=256).tolist()  # type: ignore[no-any-return]


def chessboard(height: int, width: int) -> np.ndarray:
    board: np.ndarray = np.indices((height, width)).sum(axis=0) % 2 * 255
    return board.astype(np.uint8)


@given(GREYS)
def test_blur_is_the_variance_of_the_laplacian(grey: np.ndarray) -> None:
    """Each pixel's Laplacian summed over its neighbours one by one, the nearest pixel standing in beyond the border."""
    height, width = grey.shape

    def at(row: int, column: int) -> int:
        return int(grey[min(max(row, 0), height - 1), min(max(column, 0), width - 1)])

    laplacian = [
        at(row - 1, column)
        + at(row + 1, column)
        + at(row, column - 1)
        + at(row, column + 1)
        - 4 * at(row, column)
        for row in range(height)
        for column in range(width)
    ]
    assert picture_statistics.detail(grey).blur == pytest.approx(float(np.var(laplacian)), abs=1e-9)


@given(GREYS)
def test_entropy_is_that_of_the_grey_levels(grey: np.ndarray) -> None:
    _, counts = np.unique(grey, return_counts=True)
    shares = counts / counts.sum()
    assert picture_statistics.entropy(levels(grey)) == pytest.approx(
        -(shares * np.log2(shares)).sum(), abs=1e-12
    )


@given(GREYS, st.integers(1, 30))
def test_the_height_of_a_band_changes_nothing(grey: np.ndarray, band: int) -> None:
    whole = picture_statistics.detail(grey)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture_statistics, "BAND_PIXELS", band)
        again = picture_statistics.detail(grey)
    assert str(again) == str(whole)  # NaN too


def test_a_flat_picture_has_neither_edges_nor_information() -> None:
    flat = np.full((40, 30), 200, dtype=np.uint8)
    assert picture_statistics.detail(flat) == (0.0, 0.0)
    assert picture_statistics.entropy(levels(flat)) == 0.0


def test_a_chessboard_has_one_bit_and_the_sharpest_edges() -> None:
    board = chessboard(64, 64)
    soft = np.asarray(
        Image.fromarray(board).resize((16, 16)).resize((64, 64), Image.Resampling.BILINEAR)
    )
    assert picture_statistics.entropy(levels(board)) == 1.0
    assert picture_statistics.detail(board).blur > 900_000 > picture_statistics.detail(soft).blur


def test_all_levels_alike_have_eight_bits() -> None:
    assert picture_statistics.entropy([3] * 256) == 8.0


@pytest.mark.parametrize(
    "grey",
    [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), np.zeros((0, 4), np.uint8)],
)
def test_what_is_no_grey_picture_is_refused(grey: np.ndarray) -> None:
    with pytest.raises(ValueError, match="has to be"):
        picture_statistics.detail(grey)


def test_sides() -> None:
    width, height = np.array([640, 100, 7]), np.array([480, 300, 7])
    assert picture_statistics.min_side(width, height).tolist() == [480, 100, 7]
    assert picture_statistics.max_side(width, height).tolist() == [640, 300, 7]
    assert picture_statistics.aspect_ratio(width, height).tolist() == [640 / 480, 3.0, 1.0]


def test_a_picture_without_extent_has_no_aspect() -> None:
    assert math.isnan(picture_statistics.aspect_ratio(np.array([0]), np.array([5]))[0])


@given(GREYS)
def test_dark_and_light_are_levels_at_their_percentiles(grey: np.ndarray) -> None:
    ordered = np.sort(grey.ravel())
    at = {percent: ordered[math.ceil(percent * grey.size / 100) - 1] / 255 for percent in (5, 99)}
    assert picture_statistics.light(levels(grey)) == at[5]
    assert picture_statistics.dark(levels(grey)) == 1 - at[99]


def test_black_is_dark_and_white_is_light() -> None:
    black, white = (levels(np.full((9, 9), level, np.uint8)) for level in (0, 255))
    assert (picture_statistics.dark(black), picture_statistics.light(black)) == (1.0, 0.0)
    assert (picture_statistics.dark(white), picture_statistics.light(white)) == (0.0, 1.0)


@given(GREYS)
def test_noise_is_the_mean_of_the_masks_residue(grey: np.ndarray) -> None:
    height, width = grey.shape
    found = picture_statistics.detail(grey).noise
    if min(height, width) < 3:
        assert math.isnan(found)
        return
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    total = sum(
        abs(int((grey[y : y + 3, x : x + 3].astype(int) * mask).sum()))
        for y in range(height - 2)
        for x in range(width - 2)
    )
    assert found == pytest.approx(math.sqrt(math.pi / 2) * total / (6 * (height - 2) * (width - 2)))


def test_noise_of_a_known_deviation_is_found() -> None:
    rng = np.random.default_rng(7)
    ramp = np.linspace(60, 190, 300)[np.newaxis, :].repeat(200, axis=0)
    noisy = (ramp + rng.normal(0, 8, ramp.shape)).round().astype(np.uint8)
    assert picture_statistics.detail(noisy).noise == pytest.approx(8, rel=0.05)
    assert picture_statistics.detail(ramp.astype(np.uint8)).noise < 1
