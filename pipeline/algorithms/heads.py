"""Two linear heads over frozen embeddings, trained with CLIP's loss: the cheapest model that a subset can train.

The heads start from independent random numbers, so that whatever agreement they reach is learned from the subset, even
where the encoder's own two sides agree already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tamis.pipeline.algorithms.contrastive import (
    TEMPERATURE,
    Floats,
    Sides,
    Teaching,
    Training,
    learn,
)
from tamis.pipeline.algorithms.order import derived_seed

if TYPE_CHECKING:
    import torch

BATCH = 128
WIDTH = 64
RATE = 2e-3
DECAY = 0.1
"""Usual settings: so small that two hundred subsets of some thousands train in minutes on two processors."""


@dataclass(frozen=True)
class Scale:
    """Mean and spread of every dimension, by which the inputs of heads are standardised."""

    mean: Floats
    spread: Floats

    @classmethod
    def of(cls, vectors: Floats) -> Scale:
        """Mean and spread of the rows (n, d); a constant dimension gets spread 1."""
        wide = vectors.astype(np.float64)
        spread = wide.std(axis=0)
        spread[spread < 1e-6] = 1.0
        return cls(wide.mean(axis=0).astype(np.float32), spread.astype(np.float32))

    def __call__(self, vectors: Floats) -> Floats:
        """(n, d), centred and scaled."""
        scaled: Floats = (vectors - self.mean) / self.spread
        return scaled


@dataclass(frozen=True)
class Heads:
    """Projections (d, width) and (e, width), and the temperature that was learned with them."""

    image: Floats
    text: Floats
    temperature: float = TEMPERATURE

    def images(self, vectors: Floats) -> Floats:
        """(n, d) to unit rows (n, width)."""
        return _unit(vectors @ self.image)

    def texts(self, vectors: Floats) -> Floats:
        """(n, e) to unit rows (n, width)."""
        return _unit(vectors @ self.text)


def _weights(pairs: Sides, width: int, seed: int, start: Heads | None) -> list[Any]:
    """Both projections before the first step, as tensors."""
    import torch

    if start is None:
        return [
            _start(pairs.image.shape[1], width, seed, "image"),
            _start(pairs.text.shape[1], width, seed, "text"),
        ]
    sides = (start.image, start.text)
    return [torch.tensor(side, dtype=torch.float32, requires_grad=True) for side in sides]


def train(
    pairs: Sides,
    training: Training,
    seed: int,
    start: Heads | None = None,
    teaching: Teaching | None = None,
) -> Heads:
    """Train on ``pairs`` for a fixed number of steps, in one thread, so that results are reproducible.

    Args:
        pairs: scaled embeddings, at least ``training.batch`` of them.
        training: steps, batch and the rest.
        seed: of the start and of the order of the pairs.
        start: the heads to begin with; random ones by default.
        teaching: what is learned from a teacher beside.

    Raises:
        ValueError: fewer pairs than a batch.
    """
    import torch

    image, text = torch.from_numpy(pairs.image), torch.from_numpy(pairs.text)
    weights = _weights(pairs, training.width, seed, start)

    def towers(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return image[rows] @ weights[0], text[rows] @ weights[1]

    temperature = learn(len(pairs.image), towers, weights, training, seed, teaching)
    found = [weight.detach().numpy() for weight in weights]
    return Heads(found[0], found[1], temperature)


def _start(rows: int, width: int, seed: int, side: str) -> torch.Tensor:
    import torch

    generator = torch.Generator().manual_seed(derived_seed(seed, f"heads/{side}") >> 1)
    start: torch.Tensor = torch.randn(rows, width, generator=generator) / rows**0.5
    return start.requires_grad_()


def _unit(vectors: Floats) -> Floats:
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    unit: Floats = (vectors / np.maximum(length, 1e-12)[:, None]).astype(np.float32)
    return unit
