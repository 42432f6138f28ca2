"""Picture signals against Pillow, NumPy's own statistics, and pictures whose answer is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tamis.pipeline.signals import picture_statistics

PIXELS = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape)
)


def chessboard(height: int, width: int) -> np.ndarray:
    board = (np.indices((height, width)).sum(axis=0) % 2 * 255).astype(np.uint8)
    return np.repeat(board[..., None], 3, axis=2)


@given(PIXELS)
def test_grey_is_pillows(pixels: np.ndarray) -> None:
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    assert (picture_statistics.grey(pixels) == expected).all()


@given(PIXELS)
def test_blur_is_the_variance_of_the_laplacian(pixels: np.ndarray) -> None:
    """Each pixel's Laplacian summed over its neighbours one by one, the nearest pixel standing in beyond the border."""
    grey = picture_statistics.grey(pixels).astype(int).tolist()
    height, width = pixels.shape[:2]

    def at(row: int, column: int) -> int:
        return int(grey[min(max(row, 0), height - 1)][min(max(column, 0), width - 1)])

    laplacian = [
        at(row - 1, column)
        + at(row + 1, column)
        + at(row, column - 1)
        + at(row, column + 1)
        - 4 * at(row, column)
        for row in range(height)
        for column in range(width)
    ]
    assert picture_statistics.blur(pixels) == pytest.approx(float(np.var(laplacian)), abs=1e-9)


@given(PIXELS)
def test_entropy_is_that_of_the_grey_levels(pixels: np.ndarray) -> None:
    _, counts = np.unique(picture_statistics.grey(pixels), return_counts=True)
    shares = counts / counts.sum()
    assert picture_statistics.entropy(pixels) == pytest.approx(
        -(shares * np.log2(shares)).sum(), abs=1e-12
    )


@given(PIXELS, st.integers(1, 30))
def test_the_height_of_a_band_changes_nothing(pixels: np.ndarray, band: int) -> None:
    whole = picture_statistics.blur(pixels), picture_statistics.entropy(pixels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture_statistics, "BAND_PIXELS", band)
        assert (picture_statistics.blur(pixels), picture_statistics.entropy(pixels)) == whole


def test_a_flat_picture_has_neither_edges_nor_information() -> None:
    flat = np.full((40, 30, 3), 200, dtype=np.uint8)
    assert picture_statistics.blur(flat) == 0.0
    assert picture_statistics.entropy(flat) == 0.0


def test_a_chessboard_has_one_bit_and_the_sharpest_edges() -> None:
    board = chessboard(64, 64)
    soft = np.asarray(
        Image.fromarray(board).resize((16, 16)).resize((64, 64), Image.Resampling.BILINEAR)
    )
    assert picture_statistics.entropy(board) == 1.0
    assert picture_statistics.blur(board) > 900_000 > picture_statistics.blur(soft)


def test_all_levels_alike_have_eight_bits() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert picture_statistics.entropy(ramp) == 8.0


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_rgb_picture_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="have to be"):
        picture_statistics.blur(pixels)
    with pytest.raises(ValueError, match="have to be"):
        picture_statistics.entropy(pixels)


def test_sides() -> None:
    width, height = np.array([640, 100, 7]), np.array([480, 300, 7])
    assert picture_statistics.min_side(width, height).tolist() == [480, 100, 7]
    assert picture_statistics.max_side(width, height).tolist() == [640, 300, 7]
    assert picture_statistics.aspect_ratio(width, height).tolist() == [640 / 480, 3.0, 1.0]


def test_a_picture_without_extent_has_no_aspect() -> None:
    assert math.isnan(picture_statistics.aspect_ratio(np.array([0]), np.array([5]))[0])


@given(PIXELS)
def test_brightness_is_a_level_at_its_percentile(pixels: np.ndarray) -> None:
    weights = np.array([0.241, 0.691, 0.068])
    levels = np.floor(np.sqrt((pixels.astype(np.float64) ** 2 @ weights).round(9)).ravel())
    levels.sort()
    at = {percent: levels[math.ceil(percent * len(levels) / 100) - 1] / 255 for percent in (5, 99)}
    assert picture_statistics.light(pixels) == pytest.approx(at[5])
    assert picture_statistics.dark(pixels) == pytest.approx(1 - at[99])


def test_black_is_dark_and_white_is_light() -> None:
    black, white = (np.full((9, 9, 3), level, np.uint8) for level in (0, 255))
    assert (picture_statistics.dark(black), picture_statistics.light(black)) == (1.0, 0.0)
    assert (picture_statistics.dark(white), picture_statistics.light(white)) == (0.0, 1.0)


@given(PIXELS)
def test_grey_pixels_have_three_equal_channels(pixels: np.ndarray) -> None:
    equal = [len(set(pixel)) == 1 for pixel in pixels.reshape(-1, 3).tolist()]
    assert picture_statistics.grey_share(pixels) == sum(equal) / len(equal)


@given(PIXELS)
def test_noise_is_the_mean_of_the_masks_residue(pixels: np.ndarray) -> None:
    grey = picture_statistics.grey(pixels).astype(int)
    height, width = grey.shape
    found = picture_statistics.noise(pixels)
    if min(height, width) < 3:
        assert math.isnan(found)
        return
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    total = sum(
        abs(int((grey[y : y + 3, x : x + 3] * mask).sum()))
        for y in range(height - 2)
        for x in range(width - 2)
    )
    assert found == pytest.approx(math.sqrt(math.pi / 2) * total / (6 * (height - 2) * (width - 2)))


def test_noise_of_a_known_deviation_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    ramp = np.linspace(60, 190, 300)[np.newaxis, :, np.newaxis]
    noisy = (ramp + rng.normal(0, 8, (200, 300, 1))).round().astype(np.uint8).repeat(3, axis=2)
    whole = picture_statistics.noise(noisy)
    assert whole == pytest.approx(8, rel=0.05)
    assert picture_statistics.noise(ramp.repeat(200, axis=0).astype(np.uint8).repeat(3, axis=2)) < 1
    monkeypatch.setattr(picture_statistics, "BAND_PIXELS", 3_000)
    assert picture_statistics.noise(noisy) == whole
