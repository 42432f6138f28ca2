"""What a picture's file says of itself beside its pixels: quality of a JPEG, further frames, transparency."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tamis.pipeline.inputs.images import ImageDamage, Opened, to_rgb
from tamis.pipeline.signals.picture_statistics import jpeg_quality


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


RED = Image.new("RGB", (8, 6), (255, 0, 0))
BLUE = Image.new("RGB", (8, 6), (0, 0, 255))


@pytest.mark.parametrize("quality", range(1, 101))
def test_a_jpegs_quality_is_that_of_its_encoder(quality: int) -> None:
    tables = Opened(encoded(RED, "JPEG", quality=quality)).tables
    assert jpeg_quality(tables[0]) == quality


def test_other_formats_have_no_tables() -> None:
    assert [Opened(encoded(RED, kind)).tables for kind in ("PNG", "WEBP", "GIF", "BMP")] == [{}] * 4


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_a_picture_with_a_second_frame_is_animated(kind: str) -> None:
    assert Opened(encoded(RED, kind)).is_animated is False
    film = encoded(RED, kind, save_all=True, append_images=[BLUE])
    assert Opened(film).is_animated is True
    assert np.asarray(to_rgb(film)).tolist() == Opened(film).pixels.tolist()


@pytest.mark.parametrize("kind", ["TIFF", "MPO"])
def test_several_pictures_in_a_file_are_no_film(kind: str) -> None:
    assert Opened(encoded(RED, kind, save_all=True, append_images=[BLUE])).is_animated is False


def test_a_cut_second_frame_is_no_damage_of_the_first() -> None:
    film = encoded(RED, "GIF", save_all=True, append_images=[BLUE])
    for length in range(len(encoded(RED, "GIF")), len(film), 3):
        assert Opened(film[:length]).is_animated in {True, False, None}


@pytest.mark.parametrize(
    ("image", "kind", "opaque"),
    [
        (RED, "PNG", 1.0),
        (Image.new("RGBA", (4, 4), (9, 9, 9, 51)), "PNG", 0.2),
        (Image.new("LA", (4, 4), (9, 0)), "PNG", 0.0),
        (Image.new("L", (4, 4), 7), "JPEG", 1.0),
    ],
)
def test_opacity_is_the_mean_of_the_pixels(image: Image.Image, kind: str, opaque: float) -> None:
    assert Opened(encoded(image, kind)).opaque == pytest.approx(opaque)


def test_a_transparent_colour_of_a_palette_counts() -> None:
    half = Image.new("P", (4, 4), 0)
    half.paste(1, (0, 0, 4, 2))
    half.putpalette([255, 0, 0, 0, 255, 0])
    assert Opened(encoded(half, "GIF", transparency=1)).opaque == 0.5


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)).flatmap(
        lambda shape: arrays.arrays(np.uint8, shape, elements=st.sampled_from([0, 9, 200]))
    )
)
def test_grey_is_the_fixed_point_luma_of_the_standard(pixels: np.ndarray) -> None:
    picture = Opened(encoded(Image.fromarray(pixels), "PNG"))
    assert picture.pixels.tolist() == pixels.tolist()
    luma = (pixels.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32) + 0x8000) >> 16
    assert picture.grey.tolist() == luma.tolist()
    assert picture.levels == np.bincount(luma.ravel(), minlength=256).tolist()
    equal = [len(set(pixel)) == 1 for pixel in pixels.reshape(-1, 3).tolist()]
    assert picture.colourless == sum(equal) / len(equal)


def test_no_picture_is_damage() -> None:
    with pytest.raises(ImageDamage):
        Opened(b"GIF89a")
