"""Measures of trained heads on pairs that they have not seen: retrieval both ways, and classes by their names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms.contrastive import Floats, Learned, Sides

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


class Ways(NamedTuple):
    """int64 (n,) rank of each pair's caption for its picture, and of its picture for its caption."""

    image_to_text: Ints
    text_to_image: Ints

    def recall(self, nearest: int) -> float:
        """The share of ranks up to ``nearest``, the mean of both directions."""
        return sum(float((rank <= nearest).mean()) for rank in self) / 2


def ways(learned: Learned, held: Sides) -> Ways:
    """Ranks in both directions among the pairs themselves."""
    image, text = learned.images(held.image), learned.texts(held.text)
    return Ways(ranks(image, text), ranks(text, image))


def retrieval(found: Ways) -> dict[str, float]:
    """R@1, R@5, R@10 and median rank in both directions, and their means."""
    by_way = [
        {f"recall_at_{most}": float((rank <= most).mean()) for most in (1, 5, 10)}
        | {"median_rank": float(np.median(rank))}
        for rank in found
    ]
    measured = {
        f"{way}_{metric}": value
        for way, figures in zip(found._fields, by_way, strict=True)
        for metric, value in figures.items()
    }
    return measured | {metric: sum(of[metric] for of in by_way) / 2 for metric in by_way[0]}


def zero_shot(heads: Learned, images: Floats, classes: Floats, labels: Ints) -> float:
    """Share of pictures whose nearest class name is their own.

    Args:
        heads: trained.
        images: (n, d), scaled as in training.
        classes: (classes, e), embeddings of the names, scaled as captions are.
        labels: int64 (n,), the row of each picture's class.
    """
    nearest = (heads.images(images) @ heads.texts(classes).T).argmax(axis=1)
    return float((nearest == labels).mean())
