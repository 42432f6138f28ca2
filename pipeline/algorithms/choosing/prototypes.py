"""Self-supervised prototypes: keep what lies far from its nearest centroid.

Sorscher et al., "Beyond neural scaling laws: beating power law scaling via data pruning",
NeurIPS 2022, section 5: the score of a sample is the distance to the nearest of K centroids;
prototypical samples are dropped, and a floor keeps clusters from emptying.
"""

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.choosing.ranks import keys, ranks
from tamis.pipeline.algorithms.order import smallest


def select(
    cluster: NDArray[np.int32],
    distance: NDArray[np.floating],
    uid: NDArray[np.uint64],
    count: int,
    clusters: int,
    floor: float = 0.0,
) -> NDArray[np.bool_]:
    """The `count` samples farthest from their centroid, with a floor a cluster: bool (n,).

    Args:
        cluster: int32 (n,).
        distance: (n,) to the nearest centroid; ties to the smaller uid.
        uid: uint64 (n, 2).
        count: how many to keep, 0..n.
        clusters: K.
        floor: in [0, 1]: a cluster of M_j members keeps its min(M_j, `floor_count`) farthest; the
            rest of the count goes to the farthest of all others. The paper's own floor is 0.5.

    Raises:
        ValueError: for a count outside 0..n or a floor outside 0..1.
    """
    if not 0 <= count <= len(cluster):
        msg = f"count {count:,} lies outside 0..{len(cluster):,}, the samples there are: lower it"
        raise ValueError(msg)
    guaranteed = ranks(cluster, distance, uid) <= floor_count(count, clusters, floor)
    key = keys(distance, uid)
    others = np.flatnonzero(~guaranteed)
    rest = smallest(key[others], uid[others], count - int(guaranteed.sum()))
    guaranteed[others[rest]] = True
    return guaranteed


def floor_count(count: int, clusters: int, floor: float) -> int:
    """What the floor guarantees a cluster: the share `floor` of an even division, rounded down."""
    if not 0.0 <= floor <= 1.0:
        msg = f"floor {floor} lies outside 0..1: use 0 for none"
        raise ValueError(msg)
    return int(count / clusters * floor)
