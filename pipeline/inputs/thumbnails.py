"""Thumbnails: what is kept of a picture's looks until its perceptual hash and its layout are made, of many at once.

The two are sums over a few hundred pixels, which for one picture take less time than the calls that make them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tamis.pipeline.algorithms.near_pictures import layouts
from tamis.pipeline.inputs.compositing import on_white, palette
from tamis.pipeline.inputs.phash import SIDE, phash

HASH_SIDE, COLOUR_SIDE = 192, 64
"""The least side of what is averaged, for light and for colour."""

_SHAPES = (
    (SIDE, SIDE),
    (layouts.SIDE, layouts.SIDE),
    (layouts.COLOUR_SIDE, layouts.COLOUR_SIDE, 3),
)
_ENDS = np.cumsum([int(np.prod(shape)) for shape in _SHAPES])

_BLOCK = 256
"""Pictures whose hashes are made at once."""


class Looks(NamedTuple):
    """Perceptual hashes, uint64 (n,), and layouts, uint8 (n, 162)."""

    phashes: NDArray[np.uint64]
    layouts: NDArray[np.uint8]


def thumbnails(image: Image.Image) -> bytes:
    """Light of 32 x 32 and of 16 x 16 cells and colour of 4 x 4; of a large picture from every k-th pixel, which leaves
    36 or more for a cell.

    Triangles are averaged, not boxes: a box's edge falls on other pixels in a resized copy.
    """
    colours = palette(image) if image.mode == "P" else None
    grey = on_white(thinned(image, HASH_SIDE), "L", colours)
    fine = grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    cells = grey.resize((layouts.SIDE, layouts.SIDE), Image.Resampling.BILINEAR)
    if image.mode in {"L", "LA", "1"}:
        colour = cells.resize((layouts.COLOUR_SIDE,) * 2).convert("RGB")
    else:
        thin = on_white(thinned(image, COLOUR_SIDE), "RGB", colours)
        colour = thin.resize((layouts.COLOUR_SIDE,) * 2, Image.Resampling.BILINEAR)
    return fine.tobytes() + cells.tobytes() + colour.tobytes()


def thinned(image: Image.Image, side: int) -> Image.Image:
    """Every k-th pixel of a large picture, with ``side`` or more in each direction."""
    step = min(image.size) // side
    if step < 2:
        return image
    size = (image.width // step, image.height // step)
    return image.resize(size, Image.Resampling.NEAREST)


def looks(made: Sequence[bytes]) -> Looks:
    """The hashes and layouts of pictures, by their ``thumbnails``."""
    found = [_looks(made[start : start + _BLOCK]) for start in range(0, len(made) or 1, _BLOCK)]
    return Looks(*map(np.concatenate, zip(*found, strict=True)))


def _looks(made: Sequence[bytes]) -> Looks:
    pixels = np.frombuffer(b"".join(made), np.uint8).reshape(len(made), _ENDS[-1])
    fine, cells, colour = (
        np.ascontiguousarray(piece).reshape(-1, *shape)
        for piece, shape in zip(np.split(pixels, _ENDS[:-1], axis=1), _SHAPES, strict=True)
    )
    return Looks(phash(fine), layouts.encode(cells, colour))
