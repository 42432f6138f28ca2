"""Preprocessing of an RGB picture to a model's array, without torch.

It replaces the transforms of open_clip and timm, and its values equal theirs to the bit: a worker that
only decodes pictures need not load torch, and the settings are part of the model's fingerprint.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Size = tuple[int, int]
"""(height, width) in pixels."""

Pixels = NDArray[np.uint8]
"""(n, height, width, 3): pictures, resized and cropped."""

Channels = tuple[float, float, float]

_SLIMMEST = 16
"""Areas of ``scale`` in the largest resized picture: of a slimmer one only the middle is resized, with slightly other
pixels. A picture of 3 x 5,846 pixels, resized whole, would fill 300 MB."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resizing to ``scale``, cropping of the middle to ``size``, and normalisation.

    ``shortest`` keeps the ratio and covers ``scale`` (the rest is cut off), ``longest`` keeps the
    ratio and fits inside ``scale`` (the rest is ``fill``), ``squash`` does not keep the ratio.
    ``mean`` and ``std`` belong to values in [0, 1].
    """

    size: Size
    scale: Size
    mode: Literal["shortest", "longest", "squash"]
    interpolation: str
    mean: Channels
    std: Channels
    fill: tuple[int, int, int] = (0, 0, 0)

    def __call__(self, rgb: Image.Image) -> NDArray[np.float32]:
        """The normalised picture, float32 (3, height, width)."""
        (normal,) = self.normalise(self.pixels(rgb)[None])
        return cast(NDArray[np.float32], normal)

    def pixels(self, rgb: Image.Image) -> NDArray[np.uint8]:
        """The resized and cropped picture, uint8 (height, width, 3): a quarter of the bytes of the normalised one."""
        return np.asarray(self._crop(rgb))

    def values(self) -> NDArray[np.float32]:
        """The normalised form of each of a channel's 256 values, float32 (3, 256)."""
        return _normalised(self.mean, self.std)

    def normalise(self, pixels: Pixels) -> NDArray[np.float32]:
        """The normalised pictures, float32 (n, 3, height, width), of uint8 (n, height, width, 3)."""
        count, height, width, _ = pixels.shape
        normal = np.empty((count, 3, height, width), dtype=np.float32)
        for picture, planes in zip(pixels, normal, strict=True):
            for channel, values in enumerate(self.values()):
                np.take(values, picture[:, :, channel], out=planes[channel], mode="clip")
        return normal

    def _crop(self, rgb: Image.Image) -> Image.Image:
        height, width = self._scaled(rgb.height, rgb.width)
        top, bottom, below = _window(height, self.size[0])
        left, right, beside = _window(width, self.size[1])
        resample = Image.Resampling[self.interpolation.upper()]
        box_size = (right - left, bottom - top)
        if height * width <= _SLIMMEST * self.scale[0] * self.scale[1]:
            part = rgb.resize((width, height), resample).crop((left, top, right, bottom))
        else:
            across, down = rgb.width / width, rgb.height / height
            box = (left * across, top * down, right * across, bottom * down)
            part = rgb.resize(box_size, resample, box=box)
        if box_size == (self.size[1], self.size[0]):
            return part
        canvas = Image.new("RGB", (self.size[1], self.size[0]), self.fill)
        canvas.paste(part, (beside, below))
        return canvas

    def resized_size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) to which a picture of ``width`` x ``height`` is resized before it is cropped."""
        tall, wide = self._scaled(height, width)
        return wide, tall

    def _scaled(self, height: int, width: int) -> Size:
        """``resized_size`` as (height, width)."""
        tall, wide = self.scale
        if self.mode == "squash":
            return self.scale
        if self.mode == "shortest" and tall == wide:
            short, long = min(height, width), max(height, width)
            grown = int(tall * long / short)
            return (tall, grown) if height <= width else (grown, tall)
        ratios = (height / tall, width / wide)
        ratio = max(ratios) if self.mode == "longest" else min(ratios)
        return max(1, round(height / ratio)), max(1, round(width / ratio))


@lru_cache(maxsize=16)
def _normalised(mean: Channels, std: Channels) -> NDArray[np.float32]:
    """A table of the 256 values of each channel: a look-up gives the same bits as the arithmetic."""
    pixels = np.arange(256, dtype=np.float32) / np.float32(255)
    normal: NDArray[np.float32] = (pixels - np.array(mean, np.float32)[:, None]) / np.array(
        std, np.float32
    )[:, None]
    return normal


def _window(length: int, wanted: int) -> tuple[int, int, int]:
    """Start and end of the middle ``wanted`` of ``length`` pixels, and the margin if ``length`` is shorter."""
    if length <= wanted:
        return 0, length, (wanted - length) // 2
    start = round((length - wanted) / 2.0)
    return start, start + wanted, 0
