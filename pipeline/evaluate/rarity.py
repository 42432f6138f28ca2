"""Test pairs by how rare their subject is in the pool: a choice may help what is common at the cost of what is rare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.evaluate.holdout import Holdout
from tamis.pipeline.evaluate.pairs import Pairs
from tamis.schemas.evaluation import COMMON, RARE

PARTS = 3
"""The first of so many parts of the test pairs is called rare."""

Mask = npt.NDArray[np.bool_]


def concepts(pairs: Pairs, centroids: npt.NDArray[np.float32]) -> npt.NDArray[np.int32] | None:
    """int32 (n,) the nearest concept of each pair, (n, d) to centroids (K, d); None where those are of no such vectors.

    Centroids of twice the width are of picture and caption side by side, of length 1 each.
    """
    width = centroids.shape[1]
    if width == pairs.image.shape[1]:
        rows = pairs.image
    elif width == pairs.image.shape[1] + pairs.caption.shape[1]:
        rows = np.concatenate([_unit(pairs.image), _unit(pairs.caption)], axis=1)
    else:
        return None
    number: npt.NDArray[np.int32] = kmeans.assign(rows, centroids)[0]
    return number


def _unit(rows: npt.NDArray[np.float16]) -> npt.NDArray[np.float16]:
    wide = rows.astype(np.float32)
    length = np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-6)
    unit: npt.NDArray[np.float16] = (wide / (length * 2**0.5)).astype(np.float16)
    return unit


def by_rarity(concept: npt.NDArray[np.int32], held: Holdout) -> dict[str, Mask]:
    """The tested pairs in two groups, bool (n,) each; none where all concepts of the tested are as common."""
    tested = np.concatenate(list(held.tested.values()))
    pairs = np.bincount(concept[held.pool], minlength=int(concept.max()) + 1)
    common = pairs[concept[tested]]
    limit = np.sort(common)[len(common) // PARTS]
    rare = np.zeros(len(concept), dtype=bool)
    rare[tested[common < limit]] = True
    others = np.zeros(len(concept), dtype=bool)
    others[tested[common >= limit]] = True
    return {RARE: rare, COMMON: others} if rare.any() else {}


def of_every(
    concept: npt.NDArray[np.int32] | None, holdouts: Sequence[Holdout]
) -> dict[int, dict[str, Mask]]:
    """The groups of every holdout, by its seed; empty where concepts are not known, or one holdout has no groups."""
    if concept is None:
        return {}
    found = {held.split.seed: by_rarity(concept, held) for held in holdouts}
    return found if all(found.values()) else {}
