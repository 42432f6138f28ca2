"""The showcase's scorer as an encoder: of a picture it reads outlines and colours, of a caption words and letters.

A job names it with the weights that the showcase leaves, where this repository is on PYTHONPATH:

    - embed: {encoder: {file: tests/benchmarks/icon_encoder.py, name: Icons, weights: SHOW/scorer.npz}}
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tamis.pipeline.algorithms import students
from tamis.pipeline.algorithms.heads import Scale

SIDE, CELLS, ANGLES = 32, 8, 8
WIDTH = 64

Floats = npt.NDArray[np.float32]


def outlines(pictures: npt.NDArray[np.uint8]) -> Floats:
    """Features of pictures (n, 32, 32, 3): edges by direction and cell, colours by cell."""
    wide = pictures.astype(np.float32) / 255
    light = wide.mean(axis=3)
    down, right = np.gradient(light, axis=(1, 2))
    size = np.hypot(down, right)
    angle = (np.arctan2(down, right) % np.pi / np.pi * ANGLES).astype(int) % ANGLES
    step = SIDE // CELLS
    cells = [_cells(np.where(angle == number, size, 0.0), step) for number in range(ANGLES)]
    colours = [_cells(wide[..., channel], step) for channel in range(3)]
    edges = np.sqrt(np.concatenate(cells, axis=1))
    edges /= np.linalg.norm(edges, axis=1, keepdims=True) + 1e-3
    return np.concatenate([edges, *colours], axis=1).astype(np.float32)


def _cells(values: npt.NDArray[np.floating], step: int) -> npt.NDArray[np.floating]:
    """Means (n, CELLS * CELLS) over square cells of values (n, SIDE, SIDE)."""
    cut = values.reshape(len(values), CELLS, step, CELLS, step)
    means: npt.NDArray[np.floating] = cut.mean(axis=(2, 4)).reshape(len(values), -1)
    return means


def save(path: Path, scale: Scale, scorer: students.Student) -> None:
    """Write what ``Icons`` reads."""
    picture, caption = (
        [one.numpy() for one in side.weights] for side in (scorer.image, scorer.text)
    )
    into, bias, out = picture
    words, told = caption
    mean, spread = scale.mean, scale.spread
    np.savez(path, mean=mean, spread=spread, into=into, bias=bias, out=out, words=words, told=told)


class Icons:
    """Vectors of pictures of 64 pixels, and of captions, in one space."""

    dim = WIDTH
    size = 2 * SIDE
    resize = "squash"

    def __init__(self, weights: str) -> None:
        with np.load(weights) as found:
            self._scale = Scale(found["mean"], found["spread"])
            self._of = {name: torch.from_numpy(found[name]) for name in found.files}

    def pictures(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Vectors of pictures (n, 64, 64, 3), each halved as the scorer's own were."""
        halved = pixels.reshape(len(pixels), SIDE, 2, SIDE, 2, 3).mean(axis=(2, 4))
        rows = torch.from_numpy(self._scale(outlines(np.rint(halved).astype(np.uint8))))
        hidden = torch.nn.functional.gelu(rows @ self._of["into"] + self._of["bias"])
        found: Floats = (hidden @ self._of["out"]).numpy()
        return found

    def captions(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors of captions."""
        rows = torch.from_numpy(students.tokens(texts)).long()
        bag = torch.nn.functional.embedding_bag(rows, self._of["words"], mode="mean", padding_idx=0)
        found: Floats = (torch.nn.functional.gelu(bag) @ self._of["told"]).numpy()
        return found
