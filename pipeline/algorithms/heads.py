"""Two linear heads over frozen embeddings, trained with CLIP's loss: the cheapest model that a subset can train.

Radford et al., "Learning transferable visual models from natural language supervision" (2021): the symmetric
cross-entropy over a batch's cosines, with a learned temperature. The heads start from independent random numbers,
so that whatever agreement they reach is learned from the subset, even where the encoder's own two sides agree already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms.order import derived_seed

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float32]
BATCH = 128
WIDTH = 64
RATE = 2e-3
DECAY = 0.1
"""Usual settings: so small that two hundred subsets of some thousands train in minutes on two processors."""

TEMPERATURE = 0.07
"""CLIP's own start; it is learned, and never falls below a hundredth."""


class Training(Protocol):
    """Settings of a training."""

    @property
    def steps(self) -> int:
        """Updates of the heads."""

    @property
    def batch(self) -> int:
        """Pairs of each."""

    @property
    def width(self) -> int:
        """Dimensions of the shared space."""

    @property
    def rate(self) -> float:
        """The first learning rate, which falls to nothing by a cosine."""

    @property
    def decay(self) -> float:
        """Weight decay."""


class Sides(NamedTuple):
    """Both embeddings of some pairs: float32 (n, d) and (n, e), row by row."""

    image: Floats
    text: Floats

    def take(self, rows: npt.NDArray[np.integer]) -> Sides:
        """Some of the pairs."""
        return Sides(self.image[rows], self.text[rows])


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


def train(pairs: Sides, training: Training, seed: int, start: Heads | None = None) -> Heads:
    """Train on ``pairs`` for a fixed number of steps, in one thread, so that results are reproducible.

    Args:
        pairs: scaled embeddings, at least ``training.batch`` of them.
        training: steps, batch and the rest.
        seed: of the start and of the order of the pairs.
        start: the heads to begin with; random ones by default.

    Raises:
        ValueError: fewer pairs than a batch.
    """
    import torch

    count = len(pairs.image)
    if count < training.batch:
        raise ValueError(f"{count:,} pairs, and a batch has {training.batch:,}: lower the batch")
    torch.set_num_threads(1)
    image, text = torch.from_numpy(pairs.image), torch.from_numpy(pairs.text)
    weights = _weights(pairs, training.width, seed, start)
    scale = torch.tensor(float(np.log(1 / TEMPERATURE)), requires_grad=True)
    optimiser = torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": training.decay},
            {"params": [scale], "weight_decay": 0.0},
        ],
        lr=training.rate,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, training.steps)
    for rows in _batches(count, training, seed):
        left, right = (
            torch.nn.functional.normalize(side[rows] @ weight, dim=-1)
            for side, weight in zip((image, text), weights, strict=True)
        )
        logits = scale.clamp(max=float(np.log(100))).exp() * left @ right.T
        same = torch.arange(len(rows))
        entropy = torch.nn.functional.cross_entropy
        loss = (entropy(logits, same) + entropy(logits.T, same)) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    found = [weight.detach().numpy() for weight in weights]
    return Heads(found[0], found[1], max(0.01, float(np.exp(-scale.detach().double().numpy()))))


def _start(rows: int, width: int, seed: int, side: str) -> torch.Tensor:
    import torch

    generator = torch.Generator().manual_seed(derived_seed(seed, f"heads/{side}") >> 1)
    start: torch.Tensor = torch.randn(rows, width, generator=generator) / rows**0.5
    return start.requires_grad_()


def _batches(count: int, training: Training, seed: int) -> torch.Tensor:
    """int64 (steps, batch): the pairs in a new order every epoch; the rest of one epoch begins the next."""
    import torch

    generator = torch.Generator().manual_seed(derived_seed(seed, "heads/order") >> 1)
    whole = count // training.batch
    epochs = -(-training.steps // whole)
    rows = [
        torch.randperm(count, generator=generator)[: whole * training.batch] for _ in range(epochs)
    ]
    return torch.cat(rows).reshape(-1, training.batch)[: training.steps]


def _unit(vectors: Floats) -> Floats:
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    unit: Floats = (vectors / np.maximum(length, 1e-12)[:, None]).astype(np.float32)
    return unit
