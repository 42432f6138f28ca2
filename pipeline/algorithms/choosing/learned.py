"""Heads that a few steps have trained, as projections whose results do not depend on how rows are sliced into calls.

Products of float16 rows, multiples of 2^-24, with weights that are multiples of 2^-28 and whose columns are no longer
than 1, are multiples of 2^-52 with sums below 2 by Cauchy and Schwarz: float64 holds them exactly in any order of
addition. Each row is then worked on by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms import heads
from tamis.pipeline.algorithms.choosing.difficulty import Numbers, References
from tamis.pipeline.algorithms.choosing.target import lengths
from tamis.pipeline.algorithms.contrastive import Floats, Sides
from tamis.pipeline.algorithms.heads import Heads, Scale
from tamis.pipeline.algorithms.order import derived_seed

WEIGHT_GRID = 2.0**28
GRID = 2.0**24

Halves = NDArray[np.float16]


@dataclass(frozen=True)
class Recipe:
    """A short training."""

    steps: int
    batch: int
    width: int = heads.WIDTH
    rate: float = heads.RATE
    decay: float = heads.DECAY


@dataclass(frozen=True)
class Projection:
    """A linear map of standardised rows, times ``factor``, a power of two."""

    weight: Numbers  # (d, width), multiples of 2^-28, no column longer than 1
    shift: Numbers  # (width,)
    factor: float

    @classmethod
    def folded(cls, weight: NDArray[np.floating], scale: Scale) -> Projection:
        """The map ``scale(x) @ weight``."""
        wide = weight.astype(np.float64) / scale.spread.astype(np.float64)[:, None]
        longest = float(lengths(wide.T).max())
        # Rounding may add 2^-29 to each weight: half is left free.
        factor = float(2.0 ** -np.ceil(np.log2(longest) + 0.5))
        fine = np.round(wide * factor * WEIGHT_GRID) / WEIGHT_GRID
        shift = -np.einsum("i,ij->j", scale.mean.astype(np.float64), fine)
        return cls(fine, shift, factor)

    def __call__(self, rows: Halves) -> Numbers:
        """Float64 (n, width) of rows (n, d) of about unit norm."""
        found: Numbers = rows.astype(np.float64) @ self.weight + self.shift
        return found


def unit(rows: Numbers) -> Numbers:
    """Rows at length 1, to multiples of 2^-24."""
    found: Numbers = np.round(rows / lengths(rows)[:, None] * GRID) / GRID
    return found


@dataclass(frozen=True)
class Pair:
    """The projections of pictures and of captions into one space."""

    image: Projection
    text: Projection
    temperature: float

    def references(self, image: Halves, text: Halves) -> References:
        """Reference pairs in that space."""
        return References(unit(self.image(image)), unit(self.text(text)))

    def loss(
        self, references: References, image: Halves, text: Halves, own: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """CLIP's loss of each of n pairs among ``references``, which are in the same space; ``own`` as there."""
        projected = unit(self.image(image)), unit(self.text(text))
        return references.difficulty(*projected, own, "loss", self.temperature)


@dataclass(frozen=True)
class Learned:
    """Trained heads, and how their inputs are standardised."""

    heads: Heads
    image: Scale
    text: Scale

    def scaled(self, image: Halves, text: Halves) -> Sides:
        """Standardised pairs."""
        return Sides(self.image(image.astype(np.float32)), self.text(text.astype(np.float32)))

    def pair(self) -> Pair:
        """The heads as projections of rows that are not standardised."""
        return self.folded(self.heads.image, self.heads.text)

    def folded(self, image: NDArray[np.floating], text: NDArray[np.floating]) -> Pair:
        """Other weights for the same inputs, likewise."""
        return Pair(
            Projection.folded(image, self.image),
            Projection.folded(text, self.text),
            self.heads.temperature,
        )


def learn(image: Halves, text: Halves, steps: int, seed: int, run: int) -> Learned:
    """Train heads on pairs, float16 (n, d), in their order, in one thread.

    Args:
        image: of the pictures.
        text: of the captions.
        steps: updates; a batch has ``heads.BATCH`` pairs, or all if there are fewer.
        seed: the job's.
        run: several runs differ in their random numbers.
    """
    scales = [Scale.of(side.astype(np.float32)) for side in (image, text)]
    sides: list[Floats] = [
        scale(side.astype(np.float32)) for scale, side in zip(scales, (image, text), strict=True)
    ]
    recipe = Recipe(steps, min(heads.BATCH, len(image)))
    trained = heads.train(Sides(*sides), recipe, derived_seed(seed, f"early/{run}"))
    return Learned(trained, *scales)
