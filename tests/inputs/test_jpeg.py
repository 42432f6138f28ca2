from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tamis.pipeline.inputs import jpeg
from tamis.pipeline.inputs.images import ImageDamage, Opened, inspect, to_rgb
from tests.support.pictures import encode, noise


@contextmanager
def pillow_alone() -> Iterator[None]:
    with mock.patch.object(jpeg, "decoded", return_value=None):
        yield


def facts(data: bytes) -> Any:
    """All that anybody asks of a picture; a damage's words instead."""
    try:
        opened = Opened(data)
        found = inspect(data), to_rgb(data).tobytes(), opened.tables, opened.format
        return *found, opened.opaque
    except ImageDamage as damage:
        return damage.reason, damage.message


def smooth(width: int, height: int, seed: int) -> Image.Image:
    """A picture with edges and slopes of colour, where upsampling matters."""
    few = noise(max(1, width // 9), max(1, height // 9), seed=seed)
    return few.resize((width, height), Image.Resampling.BICUBIC)


def by_quick(data: bytes) -> bool:
    return jpeg.decoded(Image.open(io.BytesIO(data)), data) is not None


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(0, 99),
    st.integers(1, 100),
    st.sampled_from(["444", "422", "420", "440", "411"]),
)
def test_every_subsampling_has_pillows_pixels(
    width: int, height: int, seed: int, quality: int, sampling: str
) -> None:
    pixels = np.asarray(smooth(width, height, seed))
    data = simplejpeg.encode_jpeg(pixels.copy(), quality, colorsubsampling=sampling)
    assert by_quick(data)
    quick = facts(data)
    with pillow_alone():
        assert facts(data) == quick


@pytest.mark.parametrize(
    ("options", "mode", "quick"),
    [
        ({"progressive": True}, "RGB", True),
        ({"optimize": True, "quality": 97, "subsampling": 0}, "RGB", True),
        ({"keep_rgb": True}, "RGB", True),
        ({"restart_marker_blocks": 3}, "RGB", True),
        ({"icc_profile": b"x" * 70_000, "comment": b"y"}, "RGB", True),
        ({}, "L", False),
        ({}, "CMYK", False),
    ],
)
def test_every_kind_has_pillows_pixels(options: Any, mode: str, quick: bool) -> None:
    data = encode(smooth(201, 99, 5).convert(mode), "JPEG", **options)
    assert by_quick(data) is quick
    found = facts(data)
    with pillow_alone():
        assert facts(data) == found
    assert facts(data + b"behind") == found


@pytest.mark.parametrize("progressive", [False, True])
def test_damage_has_pillows_words_or_pixels(progressive: bool) -> None:
    """Cut off anywhere, or with any one byte changed."""
    data = encode(smooth(30, 22, 6), "JPEG", quality=60, progressive=progressive)
    for at in range(0, len(data), 3):
        for spoilt in (data[:at], data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]):
            found = facts(spoilt)
            with pillow_alone():
                assert facts(spoilt) == found


def test_a_large_picture_is_left_to_pillow() -> None:
    data = encode(smooth(64, 64, 7), "JPEG")
    with mock.patch.object(jpeg, "MAX_BYTES", 64 * 64 * 4 - 1):
        assert not by_quick(data)
