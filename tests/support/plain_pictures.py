"""Signals of pictures by straight paths over the bytes of a file, as ``tests/steps/test_signals.py`` judges them."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image


@lru_cache(1)  # and what is made of it: a picture is asked for by one signal after another
def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGBA")


@lru_cache(1)
def luma(data: bytes) -> np.ndarray:
    seen = opacity(data)
    grey: np.ndarray = np.asarray(opened(data).convert("L")) * seen + 255 * (1 - seen)
    return grey.round().astype(np.uint8)


def blur(data: bytes) -> float:
    grey = np.pad(luma(data).astype(float), 1, mode="edge")
    across = np.diff(grey, n=2, axis=1)[1:-1]
    down = np.diff(grey, n=2, axis=0)[:, 1:-1]
    return float((across + down).var())


def entropy(data: bytes) -> float:
    counts = np.bincount(luma(data).ravel())
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def brightness(data: bytes, percent: float) -> float:
    return float(np.percentile(luma(data), percent, method="inverted_cdf")) / 255


def colourless(data: bytes) -> float:
    pixels = np.asarray(opened(data))
    return float(((np.ptp(pixels[..., :3], axis=2) == 0) | (pixels[..., 3] == 0)).mean())


def noise(data: bytes) -> float | None:
    grey = luma(data).astype(float)
    if min(grey.shape) < 3:
        return None
    return float(np.abs(np.diff(np.diff(grey, 2, 0), 2, 1)).mean() * (np.pi / 2) ** 0.5 / 6)


@lru_cache(1)
def opacity(data: bytes) -> np.ndarray:
    return np.asarray(opened(data).getchannel("A"), np.float64) / 255
