"""The share of text in pictures, by the packaged models."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

pytest.importorskip("cv2", reason="needs libGL.so.1", exc_type=ImportError)
pytest.importorskip("rapidocr_onnxruntime", reason="needs the extra `text`")

from tamis.pipeline.signals.text_in_picture import TextFinder


@cache
def finder() -> TextFinder:
    return TextFinder()


def written(*lines: str) -> np.ndarray:
    image = Image.new("RGB", (240, 160), "white")
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((12, 12 + 48 * number), line, "black", ImageFont.load_default(30))
    return np.asarray(image)


def test_lines_of_text_add_up() -> None:
    one, two = (finder().area(written(*lines)) for lines in (["open today"], ["open today"] * 2))
    assert 0.05 < one < 0.25
    assert two == pytest.approx(2 * one, rel=0.2)


def test_a_picture_without_text_has_none() -> None:
    draw = np.random.default_rng(0)
    red = np.full((160, 240, 3), (200, 0, 0), np.uint8)
    noise = draw.integers(0, 256, (160, 240, 3), dtype=np.uint8)
    bars = Image.new("RGB", (240, 160), "white")
    for left in range(20, 220, 40):
        ImageDraw.Draw(bars).rectangle((left, 150 - left // 2, left + 20, 150), "navy")
    assert [finder().area(pixels) for pixels in (red, noise, np.asarray(bars))] == [0.0] * 3


@pytest.mark.parametrize("shape", [(1, 1), (2, 90)])
def test_the_smallest_and_the_longest_pictures_are_read(shape: tuple[int, int]) -> None:
    assert finder().area(np.zeros((*shape, 3), np.uint8)) == 0.0


def test_a_value_follows_from_its_picture_alone() -> None:
    pixels = written("open today")
    alone = TextFinder().area(pixels)
    finder().area(written("another line", "and one more"))
    assert finder().area(pixels) == alone
