"""Selection by one column: its top share, its top count, or a bound."""

import numpy as np
from numpy.typing import NDArray

from pipeline.algorithms.order import chosen, descending, finite, smallest


def threshold(score: NDArray[np.floating], share: float) -> float:
    """The score from which on samples are kept for a share f: descending[int(n * f)].

    DataComp's fraction rule (Gadre et al., NeurIPS 2023): rows with score >= threshold are kept, so
    at least int(n * f) + 1, and all that tie with the last. A share of 1 keeps everything.

    Args:
        score: (n,) finite, n at least 1.
        share: f in (0, 1].
    """
    values = finite(score, "score")
    if not 0.0 < share <= 1.0:
        msg = f"share {share} lies outside 0..1 (0 excluded): it is the share to keep"
        raise ValueError(msg)
    if not values.size:
        msg = "there are 0 scores, and a threshold needs at least 1: give the step some samples"
        raise ValueError(msg)
    place = min(int(len(values) * share), len(values) - 1)
    ascending = len(values) - 1 - place
    return float(np.partition(values, ascending)[ascending])


def bounded(
    score: NDArray[np.floating], minimum: float = -np.inf, maximum: float = np.inf
) -> NDArray[np.bool_]:
    """Rows with minimum <= score <= maximum: bool (n,)."""
    values = finite(score, "score")
    if not minimum <= maximum:
        msg = f"minimum {minimum} lies above maximum {maximum}: swap them"
        raise ValueError(msg)
    return (values >= minimum) & (values <= maximum)


def top(score: NDArray[np.floating], uid: NDArray[np.uint64], count: int) -> NDArray[np.bool_]:
    """The `count` largest scores exactly, ties to the smaller uid: bool (n,)."""
    return chosen(smallest(descending(score), uid, count), len(uid))
