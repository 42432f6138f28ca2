"""Selection by one column: its top share or its top count."""

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.order import descending, row_mask, smallest


def cut_position(samples: int, share: float) -> int:
    """Position, in the descending scores, of the lowest score that a share f of n samples keeps: int(n * f), from 0.

    DataComp's fraction rule (Gadre et al., NeurIPS 2023): rows with score >= descending[int(n * f)] are kept, so at
    least int(n * f) + 1, and all that tie with the last. The product is float64, as theirs is: a share of 0.29 of 100
    samples is position 28. A share of 1 keeps everything.

    Args:
        samples: n, at least 1.
        share: f in (0, 1].
    """
    return min(int(samples * share), samples - 1)


def top(score: NDArray[np.floating], uid: NDArray[np.uint64], count: int) -> NDArray[np.bool_]:
    """Choose exactly the `count` largest of finite scores (n,), ties to the smaller uid: bool (n,)."""
    return row_mask(smallest(descending(score), uid, count), len(uid))
