"""CLIP's loss over batches of pairs: how any two towers are trained, in one thread, so that results are reproducible.

Radford et al., "Learning transferable visual models from natural language supervision" (2021): the symmetric
cross-entropy over a batch's cosines, with a learned temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms.order import derived_seed

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float32]

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
    """Both sides of some pairs, (n, ...) each, row by row: embeddings, float32, or what else a student reads."""

    image: npt.NDArray[Any]
    text: npt.NDArray[Any]

    def take(self, rows: npt.NDArray[np.integer]) -> Sides:
        """Some of the pairs."""
        return Sides(self.image[rows], self.text[rows])


class Learned(Protocol):
    """Two trained towers, which lead both sides into one space."""

    @property
    def temperature(self) -> float:
        """By which cosines are divided, as it was learned."""

    def images(self, rows: npt.NDArray[Any], /) -> Floats:
        """The picture's side (n, ...) to unit rows (n, width)."""

    def texts(self, rows: npt.NDArray[Any], /) -> Floats:
        """The caption's side (n, ...) to unit rows (n, width)."""


@dataclass(frozen=True)
class Teaching:
    """Distillation (Ben-Baruch et al., ICML 2025): the loss is (1 - alpha) CLIP's + alpha KL(teacher, student).

    Both are taken over each batch's cosines, in both directions, the teacher's at its own temperature.
    """

    image: Floats  # (n, width) the teacher's unit rows of the pairs that are trained on
    text: Floats
    temperature: float
    alpha: float

    @classmethod
    def of(cls, teacher: Learned, pairs: Sides, alpha: float) -> Teaching:
        """What a trained teacher says of some pairs."""
        image, text = teacher.images(pairs.image), teacher.texts(pairs.text)
        return cls(image, text, teacher.temperature, alpha)


Towers = Callable[["torch.Tensor"], tuple["torch.Tensor", "torch.Tensor"]]
"""From rows of the pairs to both sides' vectors, of any length."""


def learn(
    count: int,
    towers: Towers,
    weights: Sequence[torch.Tensor],
    training: Training,
    seed: int,
    teaching: Teaching | None = None,
) -> float:
    """Train ``weights`` in place for a fixed number of steps, and return the temperature that was learned with them.

    Args:
        count: pairs, at least ``training.batch``.
        towers: of ``weights``.
        weights: what is learned; all of it decays.
        training: steps, batch and the rest.
        seed: of the order of the pairs.
        teaching: what is learned from a teacher, of all ``count`` pairs.

    Raises:
        ValueError: fewer pairs than a batch.
    """
    import torch

    if count < training.batch:
        raise ValueError(f"{count:,} pairs, and a batch has {training.batch:,}: lower the batch")
    torch.set_num_threads(1)
    scale = torch.tensor(float(np.log(1 / TEMPERATURE)), requires_grad=True)
    optimiser = torch.optim.AdamW(
        [
            {"params": list(weights), "weight_decay": training.decay},
            {"params": [scale], "weight_decay": 0.0},
        ],
        lr=training.rate,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, training.steps)
    for rows in batches(count, training, seed):
        left, right = (torch.nn.functional.normalize(side, dim=-1) for side in towers(rows))
        logits = scale.clamp(max=float(np.log(100))).exp() * left @ right.T
        loss = _loss(logits, rows, teaching)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return max(0.01, float(np.exp(-scale.detach().double().numpy())))


def _loss(logits: torch.Tensor, rows: torch.Tensor, teaching: Teaching | None) -> torch.Tensor:
    import torch

    same = torch.arange(len(rows))
    entropy = torch.nn.functional.cross_entropy
    own: torch.Tensor = (entropy(logits, same) + entropy(logits.T, same)) / 2
    if teaching is None:
        return own
    image, text = (torch.from_numpy(side[rows.numpy()]) for side in (teaching.image, teaching.text))
    taught = image @ text.T / teaching.temperature
    apart = (divergence(taught, logits) + divergence(taught.T, logits.T)) / 2
    return (1 - teaching.alpha) * own + teaching.alpha * apart


def divergence(taught: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Mean over the rows of KL(softmax(taught), softmax(logits))."""
    import torch

    return torch.nn.functional.kl_div(
        torch.log_softmax(logits, dim=-1),
        torch.log_softmax(taught, dim=-1),
        reduction="batchmean",
        log_target=True,
    )


def batches(count: int, training: Training, seed: int) -> torch.Tensor:
    """int64 (steps, batch): the pairs in a new order every epoch; the rest of one epoch begins the next."""
    import torch

    generator = torch.Generator().manual_seed(derived_seed(seed, "heads/order") >> 1)
    whole = count // training.batch
    epochs = -(-training.steps // whole)
    rows = [
        torch.randperm(count, generator=generator)[: whole * training.batch] for _ in range(epochs)
    ]
    return torch.cat(rows).reshape(-1, training.batch)[: training.steps]
