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
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tamis.pipeline.inputs import images, png
from tamis.pipeline.inputs.images import ImageDamage, Opened, inspect, to_rgb
from tests.support.pictures import encode, noise, png_chunk
from tests.support.running import read_tar

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = {0: ("L", 1), 2: ("RGB", 3), 3: ("P", 1), 4: ("LA", 2), 6: ("RGBA", 4)}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
KINDS = [(colour, depth) for colour, depths in DEPTHS.items() for depth in depths]


def made(
    colour: int,
    depth: int,
    size: tuple[int, int],
    draw: np.random.Generator,
    filters: list[int],
    cuts: int = 1,
    transparent: bool = False,
    level: int = 6,
) -> bytes:
    """A PNG of random rows, which are what their filters make of other ones; its pixels in ``cuts`` chunks."""
    width, height = size
    stride = (width * depth * COLOURS[colour][1] + 7) // 8
    rows = draw.integers(0, 256, (height, stride), dtype=np.uint8)
    rows[draw.random(height) < 0.5] = 0
    raw = b"".join(bytes([filters[y % len(filters)]]) + row.tobytes() for y, row in enumerate(rows))
    packed = zlib.compress(raw, level)
    chunks = [png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))]
    if colour == 3:
        chunks.append(
            png_chunk(b"PLTE", draw.integers(0, 256, 3 << depth, dtype=np.uint8).tobytes())
        )
        hidden = draw.integers(0, 256, 1 << depth, dtype=np.uint8).tobytes()
    else:
        hidden = bytes(2 * COLOURS[colour][1])
    if transparent and colour in {0, 2, 3}:
        chunks.append(png_chunk(b"tRNS", hidden))
    step = -(-len(packed) // cuts)
    chunks += [png_chunk(b"IDAT", packed[at : at + step]) for at in range(0, len(packed), step)]
    return SIGNATURE + b"".join([*chunks, png_chunk(b"IEND", b"")])


def by_pillow(data: bytes, what: Any) -> Any:
    """What is found where Pillow inflates; a damage's words instead."""
    with mock.patch.object(png, "rows", return_value=None):
        return found(data, what)


def found(data: bytes, what: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return what(data)
        except ImageDamage as damage:
            return damage.reason, damage.message


def facts(data: bytes) -> Any:
    """All that anybody asks of a picture."""
    opened = Opened(data)
    rgb = to_rgb(data)
    assert (rgb.mode, rgb.size) == ("RGB", opened.pixels.shape[1::-1])
    return inspect(data), rgb.tobytes(), opened.opaque, opened.format, opened.is_animated


@pytest.mark.parametrize(("colour", "depth"), KINDS)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.lists(st.integers(0, 4), min_size=1, max_size=4),
    st.integers(1, 3),
    st.booleans(),
)
def test_every_kind_has_the_pixels_that_pillow_finds(
    colour: int, depth: int, width: int, height: int, filters: list[int], cuts: int, hides: bool
) -> None:
    draw = np.random.default_rng(width * 71 + height)
    for chosen in (filters, [0]):
        data = made(colour, depth, (width, height), draw, chosen, cuts, hides)
        assert png.rows(data) is not None
        assert found(data, facts) == by_pillow(data, facts)


def test_a_picture_of_many_blocks_has_the_same_pixels() -> None:
    """Of blocks that end with a row, with the picture, and anywhere."""
    draw = np.random.default_rng(0)
    for size, filters in (
        ((32_766, 6), [4]),
        ((65_534, 3), [1, 2]),
        ((700, 900), [3]),
        ((700, 900), [0]),
    ):
        data = made(0, 8, size, draw, filters, cuts=3)
        assert png.rows(data) is not None
        assert found(data, facts) == by_pillow(data, facts)


def test_real_pictures_are_inflated_at_once_and_have_the_same_facts(clipart_example: Path) -> None:
    pictures = [sample.image for sample in read_tar(clipart_example / "00000.tar")]
    known = [png.rows(data) for data in pictures]
    assert known.count(None) < len(known) / 4  # their streams have small windows
    assert {one.unfiltered for one in known if one} == {True, False}
    for data in pictures[::3]:
        assert found(data, facts) == by_pillow(data, facts)


@pytest.mark.parametrize("filters", [[0], [0, 4]])
def test_a_damaged_picture_has_the_words_that_pillow_finds(filters: list[int]) -> None:
    """Cut off anywhere, or with any one byte changed."""
    data = made(6, 8, (9, 7), np.random.default_rng(1), filters, cuts=2)
    for at in range(len(data)):
        assert found(data[:at], inspect) == by_pillow(data[:at], inspect)
        changed = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        assert found(changed, inspect) == by_pillow(changed, inspect)


def test_what_stands_behind_the_pixels_is_read_as_pillow_reads_it() -> None:
    draw = np.random.default_rng(2)
    plain = made(3, 8, (9, 7), draw, [0])
    body, end = plain[:-12], plain[-12:]
    bomb = png_chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(2 << 20)))
    for more in (png_chunk(b"tEXt", b"date\x002026"), bomb, png_chunk(b"IDAT", b"more"), b"junk"):
        for data in (body + more + end, body + more, plain + more):
            assert found(data, inspect) == by_pillow(data, inspect)


def test_odd_pictures_are_left_to_pillow() -> None:
    image = noise(40, 30)
    animated = encode(image, "PNG", save_all=True, append_images=[noise(40, 30, seed=1)])
    plain = encode(image, "PNG")
    header = struct.pack(">IIBBBBB", 40, 30, 8, 2, 0, 0, 1)
    interlaced = plain[:8] + png_chunk(b"IHDR", header) + plain[33:]
    for data in (animated, interlaced, b"", plain[:20], encode(image, "JPEG")):
        assert png.rows(data) is None
    with mock.patch.object(png, "MAX_BYTES", 1000):
        assert png.rows(plain) is None
    assert found(animated, facts) == by_pillow(animated, facts)


def test_a_stream_that_inflates_to_more_than_the_picture_is_left_to_pillow() -> None:
    """And no more of it is inflated than a picture has."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    bomb = png_chunk(b"IDAT", zlib.compress(bytes(100 << 20)))
    data = SIGNATURE + header + bomb + png_chunk(b"IEND", b"")
    assert png.rows(data) is None
    assert found(data, inspect) == by_pillow(data, inspect)


def test_a_stream_with_a_window_smaller_than_its_picture_is_left_to_pillow() -> None:
    """There Pillow refuses what lies further back, and zlib alone would not."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 9)
    raw = b"".join(b"\0" + bytes(range(100)) for _ in range(20))
    packed = packer.compress(raw) + packer.flush()
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 100, 20, 8, 0, 0, 0, 0))
    data = SIGNATURE + header + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")
    assert png.rows(data) is None
    assert images.inspect(data).width == 100


def test_pillow_still_reads_a_stored_chunk_without_its_checksum() -> None:
    """Else every filtered picture would take the long way, unseen."""
    data = made(6, 8, (9, 7), np.random.default_rng(3), [4])
    known = png.rows(data)
    assert known is not None
    image = Image.open(io.BytesIO(png.stored(data, known)))
    assert image.tobytes() == Image.open(io.BytesIO(data)).tobytes()
