"""From an RGB picture to the array that a model was trained on, without torch.

The transforms of open_clip and timm, as values: a worker that only decodes pictures need not load
torch, and what was done to a picture is part of the model's fingerprint. The values are
those of the libraries' own transforms, to the bit.
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
"""(n, height, width, 3): pictures, resized and cut."""

Channels = tuple[float, float, float]

_SLIMMEST = 16
"""A strip with a larger ratio of sides is resized in its middle alone. Resized whole, a picture of
3 x 5,846 pixels would fill 300 MB; the middle's pixels come out slightly different that way."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize to ``scale``, cut ``size`` out of the middle, normalise.

    ``shortest`` keeps the ratio and fills ``scale`` (the rest is cut off), ``longest`` keeps the
    ratio and fits inside ``scale`` (the rest is ``fill``), ``squash`` does not keep the ratio.
    ``mean`` and ``std`` are of values in [0, 1].
    """

    size: Size
    scale: Size
    mode: Literal["shortest", "longest", "squash"]
    interpolation: str
    mean: Channels
    std: Channels
    fill: tuple[int, int, int] = (0, 0, 0)

    def __call__(self, rgb: Image.Image) -> NDArray[np.float32]:
        """The picture as (3, height, width), float32, normalised."""
        (normal,) = self.normalise(self.pixels(rgb)[None])
        return cast(NDArray[np.float32], normal)

    def pixels(self, rgb: Image.Image) -> NDArray[np.uint8]:
        """The picture as (height, width, 3), resized and cut: a quarter of the bytes of what it becomes."""
        return np.asarray(self._cut(rgb))

    def values(self) -> NDArray[np.float32]:
        """What each of the 256 values of a channel becomes, (3, 256)."""
        return _normalised(self.mean, self.std)

    def normalise(self, pixels: Pixels) -> NDArray[np.float32]:
        """(n, height, width, 3) to (n, 3, height, width), float32, normalised."""
        count, height, width, _ = pixels.shape
        normal = np.empty((count, 3, height, width), dtype=np.float32)
        for picture, planes in zip(pixels, normal, strict=True):
            for channel, values in enumerate(self.values()):
                np.take(values, picture[:, :, channel], out=planes[channel], mode="clip")
        return normal

    def _cut(self, rgb: Image.Image) -> Image.Image:
        height, width = self._scaled(rgb.height, rgb.width)
        top, bottom, below = _window(height, self.size[0])
        left, right, beside = _window(width, self.size[1])
        resample = Image.Resampling[self.interpolation.upper()]
        kept = (right - left, bottom - top)
        if height * width <= _SLIMMEST * self.scale[0] * self.scale[1]:
            part = rgb.resize((width, height), resample).crop((left, top, right, bottom))
        else:
            across, down = rgb.width / width, rgb.height / height
            box = (left * across, top * down, right * across, bottom * down)
            part = rgb.resize(kept, resample, box=box)
        if kept == (self.size[1], self.size[0]):
            return part
        canvas = Image.new("RGB", (self.size[1], self.size[0]), self.fill)
        canvas.paste(part, (beside, below))
        return canvas

    def least(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) that a picture of ``width`` x ``height`` becomes before its middle is cut out."""
        tall, wide = self._scaled(height, width)
        return wide, tall

    def _scaled(self, height: int, width: int) -> Size:
        """What a picture of ``height`` x ``width`` is resized to, before the middle is cut out."""
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
    """Looked up, a value is what arithmetic would make of it."""
    pixels = np.arange(256, dtype=np.float32) / np.float32(255)
    normal: NDArray[np.float32] = (pixels - np.array(mean, np.float32)[:, None]) / np.array(
        std, np.float32
    )[:, None]
    return normal


def _window(length: int, wanted: int) -> tuple[int, int, int]:
    """(start, end) of the middle ``wanted`` of ``length``, and the margin where it is shorter."""
    if length <= wanted:
        return 0, length, (wanted - length) // 2
    start = round((length - wanted) / 2.0)
    return start, start + wanted, 0
