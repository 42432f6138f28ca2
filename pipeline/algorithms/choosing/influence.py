"""Influence on a target: does training on a pair make a target's pairs easier?

The first-order answer is an inner product of gradients: that of the pair's loss with respect to the weights of early
heads, with the mean one of the target's pairs (LESS, Xia et al., ICML 2024, for linear heads, plain gradients and no
optimiser). The loss is CLIP's, among fixed reference pairs. For a pair it is the derivative of its loss along the
target's gradient, which takes one forward pass: no gradient of a sample is ever held.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.choosing.difficulty import Numbers
from tamis.pipeline.algorithms.choosing.learned import (
    GRID,
    Halves,
    Learned,
    Pair,
    Projection,
    unit,
)
from tamis.pipeline.algorithms.choosing.target import lengths
from tamis.pipeline.algorithms.contrastive import Sides

_CELLS = 1 << 21
_BLOCK = 1024


def direction(
    learned: Learned, references: tuple[Halves, Halves], target: tuple[Halves, Halves]
) -> Pair:
    """The target's mean gradient at length 1, as projections: the direction in which its loss grows most.

    Args:
        learned: the heads at which gradients are taken.
        references: picture and caption, float16 (R, d): the wrong answers.
        target: the same of the target's pairs.

    Raises:
        ValueError: the gradient is zero.
    """
    import torch

    torch.set_num_threads(1)
    weights = [
        torch.from_numpy(side.astype(np.float64)).requires_grad_()
        for side in (learned.heads.image, learned.heads.text)
    ]

    def projected(pairs: Sides) -> list[torch.Tensor]:
        return [
            torch.nn.functional.normalize(torch.from_numpy(side.astype(np.float64)) @ weight)
            for side, weight in zip(pairs, weights, strict=True)
        ]

    known, wanted = learned.scaled(*references), learned.scaled(*target)
    for start in range(0, len(wanted.image), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(wanted.image)))
        (a, b), (known_a, known_b) = projected(wanted.take(rows)), projected(known)
        own = (a * b).sum(dim=1, keepdim=True) / learned.heads.temperature
        losses = [
            torch.cat([one @ others.T / learned.heads.temperature, own], dim=1).logsumexp(dim=1)
            - own[:, 0]
            for one, others in ((a, known_b), (b, known_a))
        ]
        torch.autograd.backward([loss.sum() for loss in losses])
    found = [_gradient(weight) for weight in weights]
    length = float(np.sqrt(sum(float((side**2).sum()) for side in found)))
    if not length > 0:
        raise ValueError("the target's gradient is zero")
    return learned.folded(found[0] / length, found[1] / length)


def _gradient(weight: object) -> Numbers:
    found: Numbers = weight.grad.numpy()  # type: ignore[attr-defined]  # a leaf after a backward pass
    return found


class Influence:
    """Reference pairs under heads, and how they move along a direction."""

    def __init__(self, pair: Pair, along: Pair, image: Halves, text: Halves) -> None:
        """``along``: see ``direction``; ``image`` and ``text`` are the references, float16 (R, d)."""
        self._pair, self._along = pair, along
        self._image = _moving(pair.image, along.image, image)
        self._text = _moving(pair.text, along.text, text)

    def __call__(self, image: Halves, text: Halves, own: NDArray[np.int64]) -> NDArray[np.float32]:
        """The derivative of each pair's loss along the direction, float32 (n,): positive if training on it helps.

        The bits do not depend on how pairs are sliced into calls: see ``learned``, and ``_moving``.

        Args:
            image: float16 (n, d), of about unit norm.
            text: the same of the captions.
            own: (n,), the number of each pair among the references; -1 for none.
        """
        values = np.empty(len(image), np.float32)
        step = max(1, _CELLS // len(self._image.rows))
        for start in range(0, len(image), step):
            rows = slice(start, start + step)
            a = _moving(self._pair.image, self._along.image, image[rows])
            b = _moving(self._pair.text, self._along.text, text[rows])
            temperature = self._pair.temperature
            cosine = _inner(a.rows, b.rows) / temperature
            moved = (
                a.size * _inner(a.change, b.rows) + b.size * _inner(a.rows, b.change)
            ) / temperature
            total = np.zeros(len(cosine))
            for one, others in ((a, self._text), (b, self._image)):
                total += _side(one, others, cosine, moved, own[rows], temperature)
            values[rows] = total / 2
        return values


class _Moving:
    """Unit rows (n, width), and their derivative: ``change`` (n, width), no longer than 1, times ``size`` (n,)."""

    def __init__(self, rows: Numbers, change: Numbers, size: Numbers) -> None:
        self.rows, self.change, self.size = rows, change, size


def _moving(projection: Projection, along: Projection, rows: Halves) -> _Moving:
    """Projected rows and their derivative along another projection, to multiples of 2^-24 of a power of two.

    So float64 holds inner products with either exactly, in any order of addition.
    """
    raw = projection(rows)
    pushed = along(rows) * (projection.factor / along.factor)
    length = lengths(raw)[:, None]
    at = raw / length
    change = (pushed - at * _inner(at, pushed)[:, None]) / length
    size = np.ldexp(1.0, np.frexp(lengths(change))[1])
    return _Moving(unit(raw), np.round(change / size[:, None] * GRID) / GRID, size)


def _inner(one: Numbers, other: Numbers) -> Numbers:
    found: Numbers = np.einsum("ij,ij->i", one, other)
    return found


def _side(
    one: _Moving,
    others: _Moving,
    cosine: Numbers,
    moved: Numbers,
    own: NDArray[np.int64],
    temperature: float,
) -> Numbers:
    """The derivative of one direction's loss, (n,); ``cosine`` and ``moved`` are those of each pair itself over T."""
    scores = one.rows @ others.rows.T / temperature
    change = one.size[:, None] * (one.change @ others.rows.T)
    change += (one.rows @ others.change.T) * others.size
    change /= temperature
    inside = np.flatnonzero(own >= 0)
    scores[inside, own[inside]] = -np.inf
    highest = np.maximum(cosine, scores.max(axis=1))
    weight = np.exp(scores - highest[:, None])
    mine = np.exp(cosine - highest)
    mean: Numbers = (_inner(weight, change) + mine * moved) / (weight.sum(axis=1) + mine)
    return mean - moved
