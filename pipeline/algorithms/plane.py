"""A plane on which vectors that are near each other lie near each other: t-SNE (van der Maaten and Hinton, 2008).

Exact, of a few thousand vectors at most, and without draws: it starts from the two main directions of the vectors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import Float64Array

ITERATIONS = 400
EXAGGERATED = 100
"""Iterations in which likenesses count EXAGGERATION times, so that groups form before they are spread."""
EXAGGERATION = 12.0
NEIGHBOURS = 15.0
"""The perplexity: about so many others count as near a vector, of few vectors fewer."""


def placed(rows: NDArray[np.floating]) -> Float64Array:
    """Places of vectors on a plane, float64 (n, 2), in the square from -1 to 1.

    Args:
        rows: (n, d); what counts is their direction.
    """
    wide = rows.astype(np.float64)
    wide /= np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    start = main_directions(wide)
    places = start if len(rows) < 4 else _spread(wide, start)
    places = places - (places.max(axis=0, initial=0) + places.min(axis=0, initial=0)) / 2
    extent = float(np.abs(places).max(initial=0))
    scaled: Float64Array = places / extent if extent else places
    return scaled


def main_directions(rows: Float64Array) -> Float64Array:
    """Rows (n, d) along the two directions in which they differ most, float64 (n, 2), whose largest is positive."""
    centred = rows - rows.mean(axis=0) if len(rows) else rows
    found = np.zeros((len(rows), 2))
    kept = min(2, *rows.shape)
    if (
        len(rows) > 2 * rows.shape[1]
    ):  # of many rows the products of their columns say the same sooner
        _, directions = np.linalg.eigh(centred.T @ centred)
        found[:, :kept] = centred @ directions[:, ::-1][:, :kept]
    else:
        left, singular, _ = np.linalg.svd(centred, full_matrices=False)
        found[:, :kept] = left[:, :kept] * singular[:kept]
    if len(rows):
        largest = found[np.abs(found).argmax(axis=0), [0, 1]]
        found *= np.where(largest < 0, -1.0, 1.0)
    return found


def likenesses(rows: Float64Array, neighbours: float) -> Float64Array:
    """The weight of each pair, float64 (n, n), in all 1: a Gaussian about each row as wide as ``neighbours`` ask.

    Args:
        rows: (n, d) of length 1.
        neighbours: the perplexity, below n.
    """
    apart = np.maximum(2 - 2 * rows @ rows.T, 0)
    np.fill_diagonal(apart, np.inf)
    apart -= apart.min(
        axis=1, keepdims=True
    )  # which changes no share, and lets none of them vanish
    low, high = np.zeros(len(rows)), np.full(len(rows), np.inf)
    sharp = np.ones(len(rows))
    wanted = np.log(neighbours)
    finite = np.where(np.isinf(apart), 0, apart)
    for _ in range(60):
        weights = np.exp(-apart * sharp[:, None])
        total = weights.sum(axis=1)
        entropy = np.log(total) + sharp * (weights * finite).sum(axis=1) / total
        wide = entropy > wanted
        low, high = np.where(wide, sharp, low), np.where(wide, high, sharp)
        sharp = np.where(np.isinf(high), sharp * 2, (low + np.where(np.isinf(high), 0, high)) / 2)
    shares = weights / total[:, None]
    joint: Float64Array = (shares + shares.T) / (2 * len(rows))
    return joint


def _spread(rows: Float64Array, start: Float64Array) -> Float64Array:
    """Descend from ``start`` with momentum and a gain for each number, as its authors do."""
    count = len(rows)
    due = likenesses(rows, min(NEIGHBOURS, (count - 1) / 3 + 1)).astype(np.float32)
    scale = float(start[:, 0].std())
    places = (start / scale * 1e-2 if scale else start).astype(np.float32)
    places[:, 1] += np.float32(1e-6) * np.arange(
        count, dtype=np.float32
    )  # of equal rows none stays on another
    speed, gain = np.zeros_like(places), np.ones_like(places)
    rate = np.float32(max(count / EXAGGERATION, 10.0))
    for step in range(ITERATIONS):
        early = step < EXAGGERATED
        slope = _slope(due * np.float32(EXAGGERATION) if early else due, places)
        gain = np.maximum(np.where((slope > 0) != (speed > 0), gain + 0.2, gain * 0.8), 0.01)
        speed = np.float32(0.5 if early else 0.8) * speed - rate * gain.astype(np.float32) * slope
        places = places + speed
        places -= places.mean(axis=0)
    return places.astype(np.float64)


def _slope(due: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.float32]:
    """The gradient of the difference between the likenesses that are due and those on the plane."""
    square = (places * places).sum(axis=1)
    near = 1 / (1 + np.maximum(square[:, None] + square - 2 * places @ places.T, 0))
    np.fill_diagonal(near, 0)
    pull = (due - near / near.sum()) * near
    slope: NDArray[np.float32] = 4 * (pull.sum(axis=1)[:, None] * places - pull @ places)
    return slope
