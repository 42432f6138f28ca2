"""The arrays are those of open_clip's and timm's own transforms, to the bit."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tamis.pipeline.encoders.preprocessing import Preprocessing
from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
Mode = Literal["shortest", "longest", "squash"]
sides = st.integers(1, 300)


def noise(height: int, width: int) -> Image.Image:
    rng = np.random.default_rng(height * 1_000 + width)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def strip(height: int, width: int) -> bool:
    return max(height, width) > 15 * min(height, width)


@settings(max_examples=25, deadline=None)
@given(
    sides,
    sides,
    st.sampled_from(["shortest", "longest", "squash"]),
    st.sampled_from(["bicubic", "bilinear"]),
)
def test_as_open_clip(height: int, width: int, mode: Mode, interpolation: str) -> None:
    ensure_torchvision()
    from open_clip.transform import image_transform

    if strip(height, width):
        return
    theirs = image_transform(96, False, MEAN, STD, mode, interpolation, fill_color=255)
    ours = Preprocessing((96, 96), (96, 96), mode, interpolation, MEAN, STD, (255, 255, 255))
    picture = noise(height, width)
    np.testing.assert_array_equal(ours(picture), theirs(picture).numpy())


@settings(max_examples=25, deadline=None)
@given(sides, sides, st.sampled_from(["center", "squash", "border"]), st.sampled_from([1.0, 0.875]))
def test_as_timm(height: int, width: int, crop: str, share: float) -> None:
    ensure_torchvision()
    from timm.data.transforms_factory import transforms_imagenet_eval

    if strip(height, width):
        return
    mode: dict[str, Mode] = {"center": "shortest", "squash": "squash", "border": "longest"}
    fill = tuple(round(255 * value) for value in MEAN)
    theirs = transforms_imagenet_eval(96, share, crop, interpolation="bicubic", mean=MEAN, std=STD)
    scale = (int(96 // share), int(96 // share))
    ours = Preprocessing(
        (96, 96), scale, mode[crop], "bicubic", MEAN, STD, (fill[0], fill[1], fill[2])
    )
    picture = noise(height, width)
    np.testing.assert_array_equal(ours(picture), theirs(picture).numpy())


@pytest.mark.parametrize(("height", "width"), [(3, 60_000), (60_000, 1)])
def test_a_strip_keeps_its_middle_without_filling_the_memory(height: int, width: int) -> None:
    picture = Image.new("RGB", (width, height), (255, 255, 255))
    middle = (width // 2 - 5, height // 2 - 5, width // 2 + 5, height // 2 + 5)
    picture.paste((255, 0, 0), middle)
    ours = Preprocessing((224, 224), (224, 224), "shortest", "bicubic", (0.0,) * 3, (1.0,) * 3)
    array = ours(picture)
    np.testing.assert_allclose(array[:, 112, 112], [1, 0, 0], atol=0.02)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_one_pixel_is_a_picture(mode: Mode) -> None:
    ours = Preprocessing((8, 8), (8, 8), mode, "bicubic", (0.5,) * 3, (0.5,) * 3, (255, 255, 255))
    assert ours(Image.new("RGB", (1, 1), "black")).shape == (3, 8, 8)
    assert ours(Image.new("RGB", (40, 1), "black")).min() == -1.0
