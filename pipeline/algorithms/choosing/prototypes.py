"""Self-supervised prototypes: keep the samples that lie far from their nearest centroid.

Sorscher et al., "Beyond neural scaling laws: beating power law scaling via data pruning",
NeurIPS 2022, section 5: the score of a sample is the distance to the nearest of K centroids;
prototypical samples are dropped, and a floor keeps clusters from emptying.
"""

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.choosing.ranks import keys, ranks
from tamis.pipeline.algorithms.order import smallest
from tamis.pipeline.algorithms.shares import rounded_down


def select(
    cluster: NDArray[np.int32],
    distance: NDArray[np.floating],
    uid: NDArray[np.uint64],
    count: int,
    clusters: int,
    floor: float = 0.0,
) -> NDArray[np.bool_]:
    """Choose the `count` samples farthest from their centroid, with a floor for each cluster: bool (n,).

    Args:
        cluster: int32 (n,).
        distance: (n,) to the nearest centroid; ties to the smaller uid.
        uid: uint64 (n, 2).
        count: samples to keep, 0..n.
        clusters: K.
        floor: in [0, 1]: a cluster of M_j members keeps its min(M_j, `floor_count`) farthest; the
            rest of the count goes to the farthest of all others. The paper's own floor is 0.5.

    Raises:
        ValueError: a count outside 0..n or a floor outside 0..1.
    """
    if not 0 <= count <= len(cluster):
        raise ValueError(
            f"count {count:,} lies outside 0..{len(cluster):,}, the number of samples: lower it"
        )
    kept = ranks(cluster, distance, uid) <= floor_count(count, clusters, floor)
    key = keys(distance, uid)
    others = np.flatnonzero(~kept)
    rest = smallest(key[others], uid[others], count - int(kept.sum()))
    kept[others[rest]] = True
    return kept


def floor_count(count: int, clusters: int, floor: float) -> int:
    """Samples that the floor keeps of a cluster: the share `floor` of an even division, rounded down.

    Raises:
        ValueError: a floor outside 0..1.
    """
    if not 0.0 <= floor <= 1.0:
        raise ValueError(f"floor {floor} lies outside 0..1: use 0 for none")
    return rounded_down(floor, count, clusters)
