"""Details of real pictures: what resizing and compression leave alike, and what another drawing does not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tamis.pipeline.algorithms.near_pictures import details
from tamis.pipeline.inputs.detail import detail_of
from tamis.pipeline.inputs.images import MAX_PIXELS, ImageDamage
from tests.support.running import read_tar


def packed(image: Image.Image, form: str = "PNG", **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def apart(one: bytes, other: bytes) -> float:
    made = b"".join(detail_of(data, MAX_PIXELS) for data in (one, other))
    rows = np.frombuffer(made, np.uint8).reshape(2, -1)
    return float(details.difference(rows, np.array([0]), np.array([1]))[0])


def badge(digit: str, side: int = 128) -> Image.Image:
    """A house with a number on it, as many signs have one."""
    image = Image.new("RGB", (128, 128), "white")
    pen = ImageDraw.Draw(image)
    pen.polygon([(64, 8), (120, 56), (8, 56)], fill="#a02020")
    pen.rectangle((20, 56, 108, 120), fill="#e0c080", outline="black")
    pen.text((58, 78), digit, fill="black", font_size=22)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def test_copies_of_real_pictures_are_near(clipart_example: Path) -> None:
    found = []
    for sample in read_tar(clipart_example / "00000.tar")[:60]:
        image = Image.open(io.BytesIO(sample.image)).convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        smaller = white.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.BOX)
        found.append(apart(sample.image, packed(smaller)))
        found.append(apart(sample.image, packed(white, "JPEG", quality=60)))
    assert np.mean(np.array(found) <= 0.18) > 0.95


@pytest.mark.parametrize("side", [64, 128])
def test_another_number_is_a_difference(side: int) -> None:
    assert apart(packed(badge("8")), packed(badge("8", side))) < 0.18
    assert apart(packed(badge("8")), packed(badge("1", side))) > 0.18


def test_another_colour_of_a_part_is_a_difference() -> None:
    """Of a face, say; the light is nearly the same."""

    def face(colour: str) -> bytes:
        image = Image.new("RGB", (72, 72), "white")
        ImageDraw.Draw(image).ellipse((24, 20, 48, 46), fill=colour)
        return packed(image)

    assert apart(face("#a87850"), face("#98807c")) > 0.18
    assert apart(face("#a87850"), face("#a67a54")) < 0.18


def test_pixels_below_a_stated_side_are_not_compared() -> None:
    assert apart(packed(badge("8", 47)), packed(badge("1"))) == 0.0


def test_equal_pixels_have_equal_details() -> None:
    image = badge("8")
    assert detail_of(packed(image), MAX_PIXELS) == detail_of(packed(image, "BMP"), MAX_PIXELS)
    assert apart(packed(image), packed(image, "BMP")) == 0.0


def test_a_damaged_picture_is_refused() -> None:
    with pytest.raises(ImageDamage):
        detail_of(packed(badge("8"))[:200], MAX_PIXELS)
