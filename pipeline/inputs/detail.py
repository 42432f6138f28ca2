"""The detail of a picture: what two pictures are compared by that are alike on the whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tamis.pipeline.algorithms.near_pictures import details
from tamis.pipeline.inputs.images import to_rgb

_PIXELS_A_CELL = 3
"""Pixels a cell, at least, down to which whole blocks of a large picture are averaged first."""


def detail_of(data: bytes | memoryview, max_pixels: int) -> bytes:
    """The detail of a picture, by ``details.encode``.

    Raises:
        ImageDamage: as ``inspect``.
    """
    image = to_rgb(data, max_pixels)
    side = min(image.size)
    block = side // (_PIXELS_A_CELL * details.FINE)
    small = image.reduce(block) if block > 1 else image
    grey = small.convert("L")
    coarse, fine = _cells(grey, details.COARSE), _cells(grey, details.FINE)
    return details.encode(details.Cells(side, coarse, fine, _cells(small, details.COLOUR)))


def _cells(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Cells of a picture, each the mean of a triangle over its pixels."""
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
