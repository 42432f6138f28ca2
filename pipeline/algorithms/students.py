"""Students that begin from nothing: whatever they can do, they have learned from the pairs that they were given.

The caption's side is a bag of hashed words and runs of four letters, its vectors learned. The picture's side is a small
network over any features, or one over pictures of 32 pixels: convolutions by channel and between channels in turn
(Trockman and Kolter, "Patches are all you need?", 2022).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from tamis.pipeline.algorithms.contrastive import Floats, Sides, Teaching, Training, learn
from tamis.pipeline.algorithms.order import derived_seed

if TYPE_CHECKING:
    import torch

SIDE = 32
"""Pixels of a side of the pictures that are looked at."""

TOKENS, WORDS = 24, 1 << 13
"""Pieces of a caption that are read, and the numbers that they are hashed to; 0 is none."""

HIDDEN, CHANNELS, BLOCKS, PATCH, REACH = 256, 64, 2, 4, 5
"""Sizes of the networks: so small that a hundred subsets are trained in minutes."""

BLOCK = 1_024
"""Rows that a trained student reads at a time."""

_WORD = re.compile(r"\w+")


def tokens(captions: Sequence[str]) -> npt.NDArray[np.int32]:
    """int32 (n, TOKENS): the hashed words of each caption and the runs of four letters of longer ones, then zeros."""
    found = np.zeros((len(captions), TOKENS), np.int32)
    for row, caption in enumerate(captions):
        pieces: list[str] = []
        for word in _WORD.findall(caption.casefold()):
            pieces.append(word)
            if len(word) > 3:
                marked = f"<{word}>"
                pieces += [marked[i : i + 4] for i in range(len(marked) - 3)]
        for place, piece in enumerate(pieces[:TOKENS]):
            found[row, place] = 1 + xxhash.xxh3_64_intdigest(piece.encode()) % (WORDS - 1)
    return found


class Tower(Protocol):
    """One side of a student; ``weights`` are what is learned."""

    weights: list[torch.Tensor]

    def __call__(self, rows: torch.Tensor, /) -> torch.Tensor:
        """(n, ...) to (n, width)."""


class _Features:
    """A layer of ``HIDDEN`` over features (n, d)."""

    def __init__(self, dim: int, width: int, draw: _Draw) -> None:
        self.weights = [draw(dim, HIDDEN), draw.zeros(HIDDEN), draw(HIDDEN, width)]

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        import torch

        into, bias, out = self.weights
        return torch.nn.functional.gelu(rows @ into + bias) @ out


class _Pictures:
    """Convolutions over pictures, uint8 (n, SIDE, SIDE, 3)."""

    def __init__(self, width: int, draw: _Draw) -> None:
        patch = draw(3 * PATCH * PATCH, CHANNELS).detach().T.reshape(CHANNELS, 3, PATCH, PATCH)
        self._stem = patch.contiguous().requires_grad_()
        self._blocks = [
            (draw.scaled((CHANNELS, 1, REACH, REACH), REACH), draw(CHANNELS, CHANNELS))
            for _ in range(BLOCKS)
        ]
        self._out = draw(CHANNELS, width)
        self.weights = [self._stem, *(one for pair in self._blocks for one in pair), self._out]

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional as net

        seen = rows.permute(0, 3, 1, 2).float().div(127.5).sub(1)
        seen = net.gelu(net.conv2d(seen, self._stem, stride=PATCH))
        for beside, between in self._blocks:
            near = net.conv2d(seen, beside, padding=REACH // 2, groups=CHANNELS)
            seen = seen + net.group_norm(net.gelu(near), 1)
            mixed = net.conv2d(seen, between.T[:, :, None, None])
            seen = seen + net.group_norm(net.gelu(mixed), 1)
        return seen.mean(dim=(2, 3)) @ self._out


class _Bag:
    """The mean of the vectors of a caption's pieces, int32 (n, TOKENS), and a layer over it."""

    def __init__(self, width: int, draw: _Draw) -> None:
        self.weights = [draw.scaled((WORDS, CHANNELS), 3.0), draw(CHANNELS, width)]

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional as net

        words, out = self.weights
        return net.gelu(net.embedding_bag(rows.long(), words, mode="mean", padding_idx=0)) @ out


class _Draw:
    """Random starts, each call another."""

    def __init__(self, seed: int, side: str) -> None:
        import torch

        self._generator = torch.Generator().manual_seed(derived_seed(seed, f"students/{side}") >> 1)

    def __call__(self, into: int, out: int) -> torch.Tensor:
        return self.scaled((into, out), into**0.5)

    def scaled(self, shape: tuple[int, ...], by: float) -> torch.Tensor:
        import torch

        drawn: torch.Tensor = torch.randn(*shape, generator=self._generator) / by
        return drawn.requires_grad_()

    def zeros(self, count: int) -> torch.Tensor:
        import torch

        return torch.zeros(count, requires_grad=True)


@dataclass(frozen=True)
class Student:
    """A trained student."""

    image: Tower
    text: Tower
    temperature: float

    def images(self, rows: npt.NDArray[Any]) -> Floats:
        """Features (n, d), or pictures, to unit rows (n, width)."""
        return _read(self.image, rows)

    def texts(self, rows: npt.NDArray[Any]) -> Floats:
        """Tokens (n, TOKENS) to unit rows (n, width)."""
        return _read(self.text, rows)


def _read(tower: Tower, rows: npt.NDArray[Any]) -> Floats:
    import torch

    torch.set_num_threads(1)
    with torch.inference_mode():
        blocks = [
            torch.nn.functional.normalize(
                tower(torch.from_numpy(rows[start : start + BLOCK])), dim=-1
            ).numpy()
            for start in range(0, len(rows), BLOCK)
        ]
    found: Floats = np.concatenate(blocks)
    return found


def of_features(
    pairs: Sides, training: Training, seed: int, teaching: Teaching | None = None
) -> Student:
    """Train on features (n, d) of pictures and tokens of captions; arguments as those of ``contrastive.learn``."""
    dim = pairs.image.shape[1]
    return _trained(
        lambda draw: _Features(dim, training.width, draw), pairs, training, seed, teaching
    )


def of_pictures(
    pairs: Sides, training: Training, seed: int, teaching: Teaching | None = None
) -> Student:
    """Train on pictures, uint8 (n, SIDE, SIDE, 3), and tokens of captions."""
    return _trained(lambda draw: _Pictures(training.width, draw), pairs, training, seed, teaching)


def _trained(
    made: Callable[[_Draw], Tower],
    pairs: Sides,
    training: Training,
    seed: int,
    teaching: Teaching | None,
) -> Student:
    import torch

    image, text = made(_Draw(seed, "image")), _Bag(training.width, _Draw(seed, "text"))
    left, right = torch.from_numpy(pairs.image), torch.from_numpy(pairs.text)

    def towers(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return image(left[rows]), text(right[rows])

    weights = [*image.weights, *text.weights]
    temperature = learn(len(pairs.image), towers, weights, training, seed, teaching)
    for weight in weights:
        weight.requires_grad_(False)
    return Student(image, text, temperature)
