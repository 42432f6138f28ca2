"""Selection by one column: its top share, or its top count."""

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.order import chosen, descending, smallest


def place(samples: int, share: float) -> int:
    """Where in the descending scores the one stands from which on samples are kept for a share f: int(n * f).

    DataComp's fraction rule (Gadre et al., NeurIPS 2023): rows with score >= descending[int(n * f)] are kept, so at
    least int(n * f) + 1, and all that tie with the last. The product is float64, as theirs is: of 100 samples
    a share of 0.29 is place 28. A share of 1 keeps everything.

    Args:
        samples: n, at least 1.
        share: f in (0, 1].
    """
    return min(int(samples * share), samples - 1)


def top(score: NDArray[np.floating], uid: NDArray[np.uint64], count: int) -> NDArray[np.bool_]:
    """The `count` largest scores exactly, ties to the smaller uid: bool (n,)."""
    return chosen(smallest(descending(score), uid, count), len(uid))
