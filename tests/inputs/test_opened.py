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

from tamis.pipeline.inputs import images
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


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["none", "one", "many"]))
def test_all_modes_have_the_values_of_their_pixels_on_white(
    mode: str, width: int, height: int, transparent: str
) -> None:
    """Whatever short way is taken to them."""
    draw = np.random.default_rng(width * 41 + height)
    plain = Image.fromarray(draw.integers(0, 256, (height, width, 4), dtype=np.uint8), "RGBA")
    options: dict[str, Any] = {}
    if mode == "P":
        image = Image.fromarray(draw.integers(0, 9, (height, width), dtype=np.uint8), "P")
        colours = draw.integers(0, 256, (9, 3), dtype=np.uint8)
        colours[::2, 1:] = colours[::2, :1]
        image.putpalette(colours.tobytes())
        many = draw.integers(0, 256, 9, dtype=np.uint8).tobytes()
        if transparent != "none":
            options["transparency"] = 3 if transparent == "one" else many
    else:
        image = plain.convert("L").convert("I;16") if mode == "I;16" else plain.convert(mode)
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG", **options)
    picture = Opened(data)
    assert (picture.pixels == np.asarray(to_rgb(data))).all()
    shown = Image.fromarray(picture.pixels) if mode == "I;16" else Image.open(io.BytesIO(data))
    pixels = np.asarray(shown.convert("RGBA"))
    alpha = pixels[..., 3].astype(int)
    luma = np.asarray(Image.fromarray(pixels[..., :3]).convert("L")) * alpha
    luma = np.rint((luma + 255 * (255 - alpha)) / 255).astype(int)
    assert (picture.grey == luma).all()
    assert picture.levels == np.bincount(luma.ravel(), minlength=256).tolist()
    equal = (np.ptp(pixels[..., :3], axis=2) == 0) | (alpha == 0)
    assert picture.colourless == np.count_nonzero(equal) / equal.size
    assert picture.opaque == int(alpha.sum()) / (255 * alpha.size)


def test_only_who_asks_for_pixels_has_them_decoded() -> None:
    cut = encoded(RED.resize((640, 480)), "JPEG", quality=70)[:-900]
    assert jpeg_quality(Opened(cut).tables[0]) == 70
    assert Opened(cut).is_animated is False
    with pytest.raises(ImageDamage):
        _ = Opened(cut).grey


def test_a_picture_of_several_strips_is_measured_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = np.random.default_rng(0).integers(0, 2, (37, 23, 3), dtype=np.uint8)
    whole = Opened(encoded(Image.fromarray(pixels), "PNG")).colourless
    monkeypatch.setattr(images, "_STRIP_PIXELS", 100)
    assert Opened(encoded(Image.fromarray(pixels), "PNG")).colourless == whole
    assert whole == pytest.approx(0.25, abs=0.05)


def test_no_picture_is_damage() -> None:
    with pytest.raises(ImageDamage):
        Opened(b"GIF89a")
