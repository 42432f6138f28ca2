from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from tamis.pipeline.algorithms.near_pictures import layouts
from tamis.pipeline.inputs import images
from tamis.pipeline.inputs.compositing import composed, on_white, rgba
from tamis.pipeline.inputs.images import ImageDamage, inspect, to_rgb
from tamis.pipeline.inputs.phash import phash
from tamis.pipeline.inputs.thumbnails import COLOUR_SIDE, HASH_SIDE, thinned
from tamis.schemas.ledger import Reason
from tests.support.pictures import encode, jpeg_of_size, noise, png_chunk, png_of_size, png_with
from tests.support.running import read_tar

SMALL = noise(40, 30)


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (encode(SMALL, "JPEG"), "jpeg"),
        (encode(SMALL, "JPEG", progressive=True), "jpeg"),
        (encode(SMALL, "PNG"), "png"),
        (encode(SMALL, "WEBP"), "webp"),
        (encode(SMALL, "WEBP", lossless=True), "webp"),
        (encode(SMALL, "GIF"), "gif"),
        (encode(SMALL, "BMP"), "bmp"),
        (encode(SMALL, "TIFF", compression="tiff_lzw"), "tiff"),
        (encode(SMALL, "MPO", save_all=True, append_images=[noise(seed=1)]), "jpeg"),
        (encode(SMALL.convert("CMYK"), "JPEG"), "jpeg"),
        (encode(SMALL.convert("L"), "JPEG"), "jpeg"),
        (encode(SMALL.convert("1"), "PNG"), "png"),
        (encode(SMALL.convert("P"), "PNG", transparency=3), "png"),
        (encode(SMALL.convert("LA"), "PNG"), "png"),
        (encode(SMALL, "GIF", save_all=True, append_images=[noise(seed=1)]), "gif"),
        (encode(SMALL, "WEBP", save_all=True, append_images=[noise(seed=1)]), "webp"),
        (encode(SMALL, "PNG", save_all=True, append_images=[noise(seed=1)]), "png"),
    ],
)
def test_pictures_of_every_kind_are_read(data: bytes, form: str) -> None:
    found = inspect(data)
    assert (found.width, found.height, found.format) == (40, 30, form)
    assert to_rgb(data).mode == "RGB"
    assert to_rgb(data).size == (40, 30)
    assert inspect(memoryview(data)) == found


def test_pixels_are_the_hash_of_what_is_decoded() -> None:
    image = noise(50, 20, 4)
    judged = xxhash.xxh3_128_digest(struct.pack("<II", 50, 20) + np.asarray(image).tobytes())
    assert inspect(encode(image)).pixels == judged


def test_the_same_pixels_in_another_file_have_the_same_hash() -> None:
    image = SMALL.quantize(16)
    plain = image.convert("RGB")
    files = [encode(image), encode(plain, compress_level=0), encode(plain, "BMP")]
    files += [encode(plain.convert("RGBA")), encode(plain, "WEBP", lossless=True)]
    assert len({inspect(data).pixels for data in files}) == 1
    assert len({inspect(data).phash for data in files}) == 1
    other = plain.copy()
    other.putpixel((7, 7), (1, 2, 3))
    assert inspect(encode(other)).pixels != inspect(files[0]).pixels


def test_the_shape_is_part_of_the_pixel_hash() -> None:
    flat = [encode(Image.new("RGB", size, "red")) for size in ((4, 6), (6, 4), (3, 8))]
    assert len({inspect(data).pixels for data in flat}) == 3


def test_a_picture_of_more_than_one_strip_hashes_as_a_whole() -> None:
    image = noise(2000, 1500)
    judged = struct.pack("<II", 2000, 1500) + np.asarray(image.convert("RGBA")).tobytes()
    assert inspect(encode(image, "BMP")).pixels == xxhash.xxh3_128_digest(judged)


def test_transparent_pixels_turn_white() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 255, 255))
    for data in (encode(image), encode(image, "WEBP", lossless=True, exact=True)):
        shown = to_rgb(data)
        assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 0, 255)]


def test_half_transparent_pixels_mix_with_white() -> None:
    data = encode(Image.new("RGBA", (1, 1), (0, 100, 200, 128)))
    assert to_rgb(data).getpixel((0, 0)) == (127, 177, 227)


def test_a_transparent_palette_entry_turns_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    shown = to_rgb(encode(image, transparency=0))
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 255, 0)]


def test_the_first_frame_counts() -> None:
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encode(red, form, save_all=True, append_images=[blue, blue])
        pixel = to_rgb(data).getpixel((1, 1))
        assert isinstance(pixel, tuple)
        assert pixel[0] > 250
        assert pixel[2] < 5


def test_of_sixteen_bits_the_upper_eight_are_taken() -> None:
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    shown = to_rgb(encode(Image.fromarray(values)))
    assert [shown.getpixel((x, 0)) for x in range(4)] == [(0,) * 3, (0,) * 3, (1,) * 3, (255,) * 3]


def test_floats_are_clipped_and_what_is_no_number_is_black() -> None:
    values = np.array([[-5.0, 12.9, 300.0, np.nan]], np.float32)
    shown = to_rgb(encode(Image.fromarray(values), "TIFF"))
    assert [shown.getpixel((x, 0)) for x in range(4)] == [(0,) * 3, (12,) * 3, (255,) * 3, (0,) * 3]


def test_the_stored_orientation_stays() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(noise(40, 20), "JPEG", exif=exif)
    assert inspect(data)[:2] == (40, 20)
    assert to_rgb(data).size == (40, 20)


BROKEN = {
    "empty": (b"", Reason.EMPTY_IMAGE),
    "text": (b"<html>404 Not Found</html>", Reason.UNDECODABLE_IMAGE),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Reason.UNDECODABLE_IMAGE),
    "zeros": (bytes(5000), Reason.UNDECODABLE_IMAGE),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", Reason.UNDECODABLE_IMAGE),
    "jpeg cut in the middle": (encode(noise(400, 300), "JPEG")[:3000], Reason.TRUNCATED_IMAGE),
    "jpeg cut in its header": (encode(SMALL, "JPEG")[:100], Reason.TRUNCATED_IMAGE),
    "jpeg without its last marker": (encode(SMALL, "JPEG")[:-2], Reason.TRUNCATED_IMAGE),
    "jpeg of 3 bytes": (b"\xff\xd8\xff", Reason.TRUNCATED_IMAGE),
    "png cut in the middle": (encode(noise(400, 300))[:3000], Reason.TRUNCATED_IMAGE),
    "png cut in its header": (encode(SMALL)[:20], Reason.TRUNCATED_IMAGE),
    "webp cut": (encode(noise(400, 300), "WEBP")[:-500], Reason.TRUNCATED_IMAGE),
    "gif cut": (encode(noise(400, 300), "GIF")[:3000], Reason.TRUNCATED_IMAGE),
    "bmp cut": (encode(SMALL, "BMP")[:500], Reason.TRUNCATED_IMAGE),
    "png with too few pixels": (png_of_size(100, 100), Reason.TRUNCATED_IMAGE),
    "png bomb": (png_of_size(30_000, 30_000), Reason.IMAGE_TOO_LARGE),
    "jpeg bomb": (jpeg_of_size(30_000, 30_000), Reason.IMAGE_TOO_LARGE),
    "png text bomb": (
        png_with(b"zTXt", b"comment\0\0" + zlib.compress(bytes(80 << 20))),
        Reason.UNDECODABLE_IMAGE,
    ),
    "png with a broken checksum": (
        encode(noise(90, 90)).replace(b"IDAT", b"IDAU", 1),
        Reason.UNDECODABLE_IMAGE,
    ),
    "png of no pixels": (png_of_size(0, 5), Reason.UNDECODABLE_IMAGE),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_picture_that_cannot_be_used_says_why(name: str) -> None:
    data, reason = BROKEN[name]
    for read in (inspect, to_rgb):
        with pytest.raises(ImageDamage) as caught:
            read(data)
        assert caught.value.reason == reason, caught.value.message
        assert "0x" not in caught.value.message
        assert caught.value.message


def test_a_bomb_is_refused_without_being_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: ImageFile.ImageFile) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", never)
    with pytest.raises(ImageDamage, match="30000 x 30000 pixels: the limit is 178956970"):
        inspect(png_of_size(30_000, 30_000))


def test_the_limit_of_pixels_is_the_options_not_pillows() -> None:
    data = encode(Image.new("1", (1000, 1000)))
    assert inspect(data, 1_000_000).width == 1000
    with pytest.raises(ImageDamage, match="the limit is 999999"):
        inspect(data, 999_999)


def test_warnings_as_errors_change_nothing() -> None:
    data = encode(SMALL.convert("P"), transparency=bytes(range(256)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        strict = inspect(data)
    assert strict == inspect(data)


def test_one_pixel_is_a_picture() -> None:
    assert inspect(encode(Image.new("RGB", (1, 1), "red")))[:2] == (1, 1)
    assert inspect(encode(Image.new("RGB", (5000, 1), "red")))[:2] == (5000, 1)


def test_a_longer_png_text_is_no_harm() -> None:
    data = png_with(b"tEXt", b"comment\0" + b"x" * 100_000)
    assert inspect(data).pixels == inspect(encode(noise())).pixels
    assert png_chunk(b"IEND", b"") in data


def test_pillow_itself_agrees_on_opaque_pictures() -> None:
    for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        data = encode(SMALL, form)
        plain = Image.open(io.BytesIO(data)).convert("RGB")
        assert to_rgb(data).tobytes() == plain.tobytes()


@given(
    st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["none", "one", "many"]),
    st.integers(1, 256),
)
def test_the_short_ways_to_white_are_the_long_one(
    mode: str, width: int, height: int, transparent: str, colours: int
) -> None:
    """A palette composed instead of its pixels, and nothing composed where all is opaque: the same values."""
    draw = np.random.default_rng(width * 41 + height)
    if mode == "P":
        image = Image.fromarray(draw.integers(0, colours, (height, width), dtype=np.uint8), "P")
        image.putpalette(draw.integers(0, 256, 3 * colours, dtype=np.uint8).tobytes())
    else:
        plain = Image.fromarray(draw.integers(0, 256, (height, width, 4), dtype=np.uint8), "RGBA")
        image = plain.convert("L").convert("I;16") if mode == "I;16" else plain.convert(mode)
    options: dict[str, Any] = {}
    if mode in {"L", "P", "RGB"} and transparent != "none":
        one: Any = 0 if mode != "RGB" else tuple(int(v) for v in np.asarray(image)[0, 0])
        many = draw.integers(0, 256, colours, dtype=np.uint8).tobytes()
        options["transparency"] = many if mode == "P" and transparent == "many" else one
    out = io.BytesIO()
    image.save(out, "TIFF" if mode == "CMYK" else "PNG", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = images._decoded(images._open(out.getvalue(), 10_000))
        for kind in ("L", "RGB"):
            found, wanted = on_white(stored, kind), composed(stored, kind)
            assert (found.mode, found.size) == (wanted.mode, wanted.size)
            assert found.tobytes() == wanted.tobytes()


def test_real_pictures_have_the_signature_of_their_pixels_composed_one_by_one(
    clipart_example: Path,
) -> None:
    """Whatever short way their mode takes."""
    modes = set()
    for sample in read_tar(clipart_example / "00000.tar"):
        image = images._decoded(images._open(sample.image, images.MAX_PIXELS))
        modes.add(image.mode)
        grey = composed(thinned(image, HASH_SIDE), "L")
        fine, cells = (
            np.asarray(grey.resize((side, side), Image.Resampling.BILINEAR)) for side in (32, 16)
        )
        thin = composed(thinned(image, COLOUR_SIDE), "RGB")
        colour = np.asarray(thin.resize((4, 4), Image.Resampling.BILINEAR))
        if image.mode in {"L", "LA"}:
            small = Image.fromarray(cells).resize((4, 4))
            colour = np.stack([np.asarray(small)] * 3, axis=-1)
        found = images.inspect(sample.image)
        assert (found.phash, found.layout) == (
            int(phash(fine)),
            layouts.encode(cells, colour).tobytes(),
        )
    assert modes >= {"P", "LA", "RGBA"}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"])
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 200), st.booleans())
def test_the_hash_is_that_of_the_rgba_bytes(
    mode: str, width: int, height: int, strip: int, transparent: bool
) -> None:
    """Whatever stands in the byte that Pillow keeps beside RGB, and in however many strips."""
    draw = np.random.default_rng(width * 41 + height)
    values = draw.integers(0, 256, (height, width, 4), dtype=np.uint8)
    if mode == "RGBX":  # its fourth byte stays as it is stored
        image = Image.frombytes("RGB", (width, height), values.tobytes(), "raw", "RGBX")
    else:
        image = Image.fromarray(values, "RGBA").convert(mode)
    if transparent and image.mode == "RGB":
        image.info["transparency"] = tuple(int(value) for value in values[0, 0, :3])
    wanted = image.convert("RGBA").tobytes()
    with mock.patch.object(images, "_STRIP_PIXELS", strip):
        found = images._hash_pixels(image)
    assert found == xxhash.xxh3_128_digest(struct.pack("<II", width, height) + wanted)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
def test_deep_grey_is_the_same_in_strips(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(-70_000, 140_000, (37, 23))
    values = np.clip(values, 0, 65_535) if mode.startswith("I;") else values
    if mode == "F":
        stored = (values / 500).astype(np.float32)
        stored[3, 3:6] = np.nan, np.inf, -np.inf
        judged = np.clip(np.nan_to_num(stored), 0, 255).astype(np.uint8)
    else:
        stored = values.astype({"I": "<i4", "I;16B": ">u2"}.get(mode, "<u2"))
        judged = (np.clip(stored.astype(np.int64), 0, 65_535) >> 8).astype(np.uint8)
    image = Image.frombytes(mode, (23, 37), stored.tobytes())
    monkeypatch.setattr(images, "_STRIP_PIXELS", 100)
    found = rgba(images._decoded(image))
    grey = np.dstack([judged] * 3 + [np.full_like(judged, 255)])
    np.testing.assert_array_equal(np.asarray(found), grey)


@given(
    st.integers(1, 500),
    st.integers(1, 500),
    st.integers(1, 300),
    st.sampled_from(["JPEG", "PNG"]),
    st.sampled_from(["RGB", "L", "CMYK"]),
)
def test_a_jpeg_comes_smaller_where_less_will_do(
    width: int, height: int, side: int, form: str, mode: str
) -> None:
    if form == "PNG" and mode == "CMYK":
        mode = "RGB"
    data = encode(noise(width, height).convert(mode), form)
    full = to_rgb(data)
    small = to_rgb(data, least=lambda *_: (side, side))
    fraction = max(f for f in (1, 2, 4, 8) if f == 1 or min(width, height) // side >= f)
    if form == "PNG" or fraction == 1:
        assert small.tobytes() == full.tobytes()
    else:
        assert small.size == (-(-width // fraction), -(-height // fraction))
        assert min(small.size) >= side
        assert small.mode == "RGB"


def test_a_cut_off_jpeg_is_damage_at_any_size() -> None:
    data = encode(noise(400, 400), "JPEG")
    with pytest.raises(ImageDamage) as found:
        to_rgb(data[: len(data) // 2], least=lambda *_: (40, 40))
    assert found.value.reason == Reason.TRUNCATED_IMAGE
