"""Measures of trained heads on pairs that they have not seen: retrieval both ways, and classes by their names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms.heads import Floats, Heads, Sides

Ints = npt.NDArray[np.int64]


def ranks(left: Floats, right: Floats) -> Ints:
    """int64 (n,) rank of each row's partner among all of ``right``, 1 for the nearest; ties count against it.

    Args:
        left: unit rows (n, width).
        right: unit rows (n, width); row i belongs to row i.
    """
    cosines = left @ right.T
    own = np.diag(cosines)[:, None]
    rank: Ints = (cosines >= own).sum(axis=1).astype(np.int64)
    return rank


def retrieval(heads: Heads, held: Sides) -> dict[str, float]:
    """R@1, R@10 and median rank in both directions, and their means."""
    image, text = heads.images(held.image), heads.texts(held.text)
    measured: dict[str, float] = {}
    ways = {"image_to_text": ranks(image, text), "text_to_image": ranks(text, image)}
    for way, rank in ways.items():
        measured[f"{way}_recall_at_1"] = float((rank <= 1).mean())
        measured[f"{way}_recall_at_10"] = float((rank <= 10).mean())
        measured[f"{way}_median_rank"] = float(np.median(rank))
    for metric in ("recall_at_1", "recall_at_10", "median_rank"):
        measured[metric] = sum(measured[f"{way}_{metric}"] for way in ways) / 2
    return measured


def zero_shot(heads: Heads, images: Floats, classes: Floats, labels: Ints) -> float:
    """Share of pictures whose nearest class name is their own.

    Args:
        heads: trained.
        images: (n, d), scaled as in training.
        classes: (classes, e), embeddings of the names, scaled as captions are.
        labels: int64 (n,), the row of each picture's class.
    """
    nearest = (heads.images(images) @ heads.texts(classes).T).argmax(axis=1)
    return float((nearest == labels).mean())
