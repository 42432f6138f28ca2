"""Heads of each kind, fitted on a trusted set and a pool: the arrays of their files.

How strongly a head is fitted (the penalty of a classifier, the epochs of a pair) is chosen on a part of the pairs that
it is then fitted on, never on those that it is measured on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from tamis.pipeline.algorithms import contrastive, heads, logistic
from tamis.pipeline.algorithms.contrastive import Sides
from tamis.pipeline.algorithms.heads import Heads
from tamis.pipeline.algorithms.separation import auc
from tamis.pipeline.evaluate.trusted import Mask, Sets
from tamis.pipeline.signals.heads import joined
from tamis.schemas.errors import JobError
from tamis.schemas.evaluation import Training

PENALTIES = (1e4, 1e3, 1e2, 1e1, 1e0)
"""Penalties of which the best is taken; the first of equal ones."""

EPOCHS = (0, 1, 4, 16, 64)
"""How often all trusted pairs are seen; of these the best number is taken, the first of equal ones."""

MOST_STEPS = 800
"""Training steps, at most: some seconds of one processor."""

WIDTH = 128
"""Dimensions of a pair's two maps, at most."""

Arrays = Mapping[str, npt.NDArray[np.float32]]
Matrix = npt.NDArray[np.float64]


class Fitted(NamedTuple):
    """The arrays of a head's file, and the penalty or number of epochs that was chosen."""

    arrays: Arrays
    chosen: float


def classifier(sets: Sets) -> Fitted:
    """A logistic function of picture, caption and their product, which tells trusted pairs from the pool's."""
    image, text = (side.astype(np.float64) for side in (sets.pairs.image, sets.pairs.caption))
    if image.shape[1] != text.shape[1]:
        raise JobError(
            f"a classifier multiplies both vectors: these have {image.shape[1]} and {text.shape[1]} numbers: take "
            "--kind mix"
        )
    line = _line(joined(image, text), sets, np.ones(len(sets.pairs), bool))
    arrays = {
        "weight_0": line.weights[None, :],
        "bias_0": np.array([line.bias]),
        "mean": line.mean,
        "variance": line.variance,
        "sigmoid": np.ones(1),
        "joint": np.ones(1),
    }
    return Fitted(_single(arrays), line.penalty)


class _Line(NamedTuple):
    weights: Matrix
    bias: float
    mean: Matrix
    variance: Matrix
    penalty: float


def _line(features: Matrix, sets: Sets, usable: Mask) -> _Line:
    """The logistic function with the penalty that tells the tuning pairs apart best, over all that are not held out."""
    fitted, tuning = (
        usable & ~sets.held & ~sets.tunes,
        usable & ~sets.held & sets.tunes,
    )
    scores: list[float] = []
    for penalty in PENALTIES:
        found = _fit(features[fitted], sets.trusted[fitted], penalty)
        scored = _scaled(features[tuning], found.mean, found.variance) @ found.weights
        trusted = sets.trusted[tuning]
        scores.append(auc(scored[trusted], scored[~trusted]).value)
    best = PENALTIES[int(np.argmax(scores))]
    every = usable & ~sets.held
    return _fit(features[every], sets.trusted[every], best)


def _fit(features: Matrix, trusted: Mask, penalty: float) -> _Line:
    mean, variance = features.mean(axis=0), features.var(axis=0)
    variance[variance < 1e-12] = 1.0  # a number that never changes is left as it is
    weights, bias = logistic.fit(_scaled(features, mean, variance), trusted, penalty)
    return _Line(weights, bias, mean, variance, penalty)


def _scaled(features: Matrix, mean: Matrix, variance: Matrix) -> Matrix:
    scaled: Matrix = (features - mean) / np.sqrt(variance)
    return scaled


def mix(sets: Sets, names: Sequence[str]) -> Fitted:
    """A logistic function of signals, of the pairs that have all of them."""
    usable: Mask = np.asarray(np.isfinite(sets.pairs.signals).all(axis=1), bool)
    for mask in (sets.held, sets.tunes, ~sets.held & ~sets.tunes):
        if not all(len(sets.rows(mask & usable, kind)) for kind in (True, False)):
            raise JobError(
                f"--signals {','.join(names)}: too few pairs have a value of each: name signals that all have"
            )
    line = _line(sets.pairs.signals, sets, usable)
    arrays = {
        "weight_0": line.weights[None, :],
        "bias_0": np.array([line.bias]),
        "mean": line.mean,
        "variance": line.variance,
        "sigmoid": np.ones(1),
    }
    return Fitted(_single(arrays), line.penalty)


def pair(sets: Sets, seed: int) -> Fitted:
    """Two linear maps, trained with CLIP's loss on trusted pairs alone; the head's value is the cosine behind them.

    Both begin as one map: onto the directions in which the trusted vectors are longest, where the cosine is still
    nearly that of the encoder.
    """
    both = sets.pairs.sides()
    if both.image.shape[1] != both.text.shape[1]:
        raise JobError(
            f"a pair begins with one map for both vectors: these have {both.image.shape[1]} and {both.text.shape[1]} "
            "numbers: take --kind mix"
        )
    every = sets.rows(~sets.held, trusted=True)
    fitted = sets.rows(~sets.held & ~sets.tunes, trusted=True)
    tuning = both.take(sets.rows(sets.tunes, trusted=True))
    losses = [_loss(_trained(both.take(fitted), epochs, seed), tuning) for epochs in EPOCHS]
    epochs = EPOCHS[int(np.argmin(losses))]
    found = _trained(both.take(every), epochs, seed)
    return Fitted(_single({"image": found.image.T, "text": found.text.T}), epochs)


def _trained(pairs: Sides, epochs: int, seed: int) -> Heads:
    width = min(WIDTH, pairs.image.shape[1])
    start = _principal(pairs, width)
    if not epochs:
        return start
    batch = min(heads.BATCH, len(pairs.image))
    steps = min(MOST_STEPS, epochs * (len(pairs.image) // batch))
    training = Training(steps=steps, batch=batch, width=width, rate=heads.RATE, decay=heads.DECAY)
    return heads.train(pairs, training, seed, start)


def _principal(pairs: Sides, width: int) -> Heads:
    """The map onto the ``width`` principal directions of both sides' vectors, for both sides."""
    rows = np.concatenate(pairs).astype(np.float64)
    with threadpool_limits(1, user_api="blas"):  # with more the sums are added in another order
        _, directions = np.linalg.eigh(rows.T @ rows)
    largest = np.ascontiguousarray(directions[:, ::-1][:, :width], dtype=np.float32)
    return Heads(largest, largest.copy())


def _loss(found: Heads, pairs: Sides) -> float:
    """CLIP's loss of some pairs at its first temperature."""
    logits = (found.images(pairs.image) @ found.texts(pairs.text).T).astype(np.float64)
    logits /= contrastive.TEMPERATURE
    own = np.diag(logits)
    ways = (np.logaddexp.reduce(logits, axis=axis) - own for axis in (0, 1))
    return float(sum(way.mean() for way in ways)) / 2


def _single(arrays: Mapping[str, npt.NDArray[np.floating]]) -> Arrays:
    return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
