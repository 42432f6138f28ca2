"""An encoder of a user's own: its source, and the weights that it is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np

DIM = 12

SOURCE = """
import numpy as np

import letters


class Tiny:
    dim = 12
    size = (16, 24)
    resize = "squash"

    def __init__(self, weights: str, precision: str) -> None:
        kind = np.float32 if precision == "fp32" else np.float16
        with np.load(weights) as file:
            self.maps = {name: file[name].astype(kind).astype(np.float32) for name in file}

    def pictures(self, pixels: np.ndarray) -> np.ndarray:
        cells = pixels.reshape(len(pixels), 4, 4, 6, 4, 3).mean(axis=(2, 4))
        return (cells.reshape(len(pixels), -1) / 255 - 0.5) @ self.maps["image"]

    def captions(self, texts: list[str]) -> np.ndarray:
        counts = np.array([[1 + text.count(letter) for letter in letters.ALL] for text in texts])
        return counts @ self.maps["text"]
"""

LETTERS = "ALL = 'abcdefgh 12'\n"


def write_weights(path: Path, seed: int = 3) -> Path:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(4 * 6 * 3, DIM)).astype(np.float32)
    text = rng.normal(size=(11, DIM)).astype(np.float32)
    np.savez(path, image=image, text=text)
    return path


def write_encoder(folder: Path, source: str = SOURCE) -> str:
    """What a job writes as its encoder, the files beside it."""
    (folder / "mine.py").write_text(source)
    (folder / "letters.py").write_text(LETTERS)
    weights = write_weights(folder / "tiny.npz")
    return (
        f"{{file: {folder}/mine.py, name: Tiny, with: [{folder}/letters.py], weights: {weights}}}"
    )
