"""Density-based pruning: the complexity of each concept, and the quota of samples that it keeps.

After Abbas et al., "Effective pruning of web-scale datasets based on complexity of concept clusters", ICLR 2024. For
cluster j with M_j members: C_j = d_inter_j * d_intra_j (complexity), P = softmax(C / tau), and the quotas x minimise
1/2 |x|^2 - N P'x subject to sum x = N and lb_j <= x_j <= M_j. The optimum is x_j = clip(N P_j + lambda, lb_j, M_j) for
the one lambda that meets the sum; it is found in closed form, without a solver.

An empty cluster counts as absent: outside the softmax, quota 0. A cluster of one has lower bound 0.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms.order import finite
from tamis.pipeline.algorithms.shares import rounded_down

_BLOCK = 256  # centroids a block: 100 MB of distances for 50,000 centroids
_FIXED_POINT = 2.0**28  # see `intra_sums`


class InfeasibleBudget(ValueError):  # noqa: N818 - it names the condition, as the step reports it
    """No quotas within the bounds sum to the budget."""


class Problem(NamedTuple):
    """The quadratic programme of one budget over the clusters that have members.

    `target` is N P (float64), `lower` and `upper` are the bounds as float64 whole numbers, exact
    up to 2^53; `clusters` are the numbers of those clusters, `total` is N.
    """

    target: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    clusters: NDArray[np.int64]
    total: int


def intra_sums(
    cluster: NDArray[np.int32], similarity: NDArray[np.float32], clusters: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum of distances and number of members of each cluster, for one part.

    Distances, 1 - similarity, are rounded to multiples of 2^-28 (4e-9) and summed as integers: the sums of parts add up
    to the same bits in any order and for any division into parts. A cluster of up to 1.7e10 members fits.

    Args:
        cluster: int32 (n,), n at most 2^23.
        similarity: float32 (n,), cosine to the own centroid.
        clusters: K.

    Returns:
        (int64 (K,) sums in units of 2^-28, int64 (K,) counts); `intra` divides them.

    Raises:
        ValueError: more than 2^23 rows, or a similarity that is not finite.
    """
    distance = 1.0 - finite(similarity, "similarity")
    if len(cluster) > 1 << 23:
        raise ValueError(
            f"{len(cluster):,} rows are more than the {1 << 23:,} whose sum is exact: pass fewer"
        )
    # float64 weights that are whole numbers add up exactly below 2^53.
    sums = np.bincount(cluster, weights=np.rint(distance * _FIXED_POINT), minlength=clusters)
    return sums.astype(np.int64), np.bincount(cluster, minlength=clusters).astype(np.int64)


def intra(sums: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """d_intra, the mean distance of members to their centroid: float64 (K,), 0 where empty; from added `intra_sums`.

    A vector of halves may be longer than 1: a lone member can seem nearer to its centroid than 0.
    """
    mean: NDArray[np.float64] = sums / (_FIXED_POINT * np.maximum(counts, 1))
    return np.maximum(mean, 0.0)


def inter(centroids: NDArray[np.float32], neighbours: int = 20) -> NDArray[np.float64]:
    """d_inter, the mean of 1 - <c_j, c_m> over the nearest other centroids: float64 (K,), 0 where K = 1.

    Every centroid counts as a neighbour, with or without members: d_inter depends on the centroids alone.

    Args:
        centroids: float32 (K, d) unit rows.
        neighbours: l, 1 <= l <= K - 1 (any l where K = 1).

    Raises:
        ValueError: too many neighbours, or rows that are not finite and of unit length.
    """
    unit = _unit(centroids)
    k = len(unit)
    if k == 1:
        return np.zeros(1)
    if not 1 <= neighbours <= k - 1:
        raise ValueError(
            f"neighbours {neighbours} lies outside 1..{k - 1}, the other centroids of {k} "
            f"clusters: set neighbours to at most {k - 1}, or clusters to at least {neighbours + 1}"
        )
    distance = np.empty((k, neighbours))
    padded = np.zeros((_BLOCK, unit.shape[1]))
    for start in range(0, k, _BLOCK):
        rows = unit[start : start + _BLOCK]
        padded[: len(rows)] = rows
        product = (padded @ unit.T)[: len(rows)]
        product[np.arange(len(rows)), np.arange(start, start + len(rows))] = -np.inf
        nearest = np.argpartition(product, k - neighbours, axis=1)[:, k - neighbours :]
        # A matrix product's last bits depend on its threads; a sum in fixed order does not.
        for column in range(neighbours):
            distance[start : start + len(rows), column] = 1.0 - np.einsum(
                "ij,ij->i", rows, unit[nearest[:, column]]
            )
    distance.sort(axis=1)
    return np.asarray(np.maximum(distance.mean(axis=1), 0.0), dtype=np.float64)


def complexity(
    centroids: NDArray[np.float32], intra: NDArray[np.float64], neighbours: int = 20
) -> NDArray[np.float64]:
    """Complexity C = d_inter * d_intra of every cluster: float64 (K,).

    Args:
        centroids: float32 (K, d) unit rows.
        intra: float64 (K,), by `intra`.
        neighbours: l of `inter`.

    Raises:
        ValueError: as `inter`, or an `intra` that is not finite or not of length K.
    """
    if len(intra) != len(centroids):
        raise ValueError(
            f"{len(intra):,} values of d_intra for {len(centroids):,} centroids: pass one each"
        )
    return inter(centroids, neighbours) * finite(intra, "d_intra")


def lower_bounds(sizes: NDArray[np.int64], total: int, balance: float = 0.0) -> NDArray[np.int64]:
    """Least quota of every cluster, lb_j = min(m, M_j - 1) but never below 0: int64 (K,); arguments as `quotas`.

    m is N / K * balance rounded down, K the clusters with members; or 1 without a balance.
    """
    if not 0.0 <= balance <= 1.0:
        raise ValueError(f"balance {balance} lies outside 0..1: use 0 for none")
    clusters = int(np.count_nonzero(sizes))
    least = rounded_down(balance, total, max(clusters, 1)) if balance > 0 else 1
    return np.maximum(np.minimum(least, sizes - 1), 0).astype(np.int64)


def problem(
    complexity: NDArray[np.float64],
    sizes: NDArray[np.int64],
    total: int,
    temperature: float = 0.1,
    balance: float = 0.0,
) -> Problem:
    """Quadratic programme of a budget; arguments and errors as `quotas`."""
    share = probabilities(complexity, sizes, temperature)
    lower = lower_bounds(sizes, total, balance)
    least, most = int(lower.sum()), int(sizes.sum())
    if total < least:
        raise InfeasibleBudget(
            f"a budget of {total:,} is below {least:,}, the least that {np.count_nonzero(sizes):,} clusters with "
            f"members keep together: keep at least {least:,}, or use fewer clusters"
        )
    if total > most:
        raise InfeasibleBudget(
            f"a budget of {total:,} is above the upper bounds, the cluster sizes, which sum to "
            f"{most:,}: keep at most {most:,}"
        )
    clusters = np.flatnonzero(sizes).astype(np.int64)
    return Problem(
        total * share[clusters],
        lower[clusters].astype(np.float64),
        sizes[clusters].astype(np.float64),
        clusters,
        total,
    )


def probabilities(
    complexity: NDArray[np.float64], sizes: NDArray[np.int64], temperature: float = 0.1
) -> NDArray[np.float64]:
    """P = softmax(C / tau) over the clusters with members, 0 for empty ones: float64 (K,).

    Arguments as `quotas`; a ValueError also for sizes of another shape or dtype.
    """
    values = finite(complexity, "complexity")
    if sizes.shape != values.shape or not np.issubdtype(sizes.dtype, np.integer):
        raise ValueError(
            f"sizes are {sizes.dtype} {sizes.shape} beside a complexity of shape {values.shape}: "
            "pass one whole number a cluster"
        )
    if sizes.size and int(sizes.min()) < 0:
        raise ValueError(
            f"size {sizes.min()} of cluster {sizes.argmin()} is negative: pass counts of members"
        )
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(
            f"temperature {temperature} must be finite and above 0; the paper's is 0.1"
        )
    clusters = np.flatnonzero(sizes)
    share = np.zeros(len(values))
    if clusters.size:
        weight = np.exp((values[clusters] - values[clusters].max()) / temperature)
        share[clusters] = weight / weight.sum()
    return share


def real_quotas(
    complexity: NDArray[np.float64],
    sizes: NDArray[np.int64],
    total: int,
    temperature: float = 0.1,
    balance: float = 0.0,
) -> NDArray[np.float64]:
    """Optimum of the quadratic programme, before rounding: float64 (K,); arguments and errors as `quotas`."""
    programme = problem(complexity, sizes, total, temperature, balance)
    quota = np.zeros(len(sizes))
    quota[programme.clusters] = solve(programme)
    return quota


def solve(programme: Problem) -> NDArray[np.float64]:
    """Optimum x_j = clip(N P_j + lambda, lb_j, M_j) with sum N: float64, in the order of `Problem.clusters`.

    The sum is a rising, piecewise linear function of lambda with breakpoints lb_j - N P_j and
    M_j - N P_j. They are sorted, the segment that holds N is found by bisection, and lambda follows
    from the clusters strictly between their bounds in it: O(K log K).
    """
    target, lower, upper, _, total = programme
    if not target.size:
        return target
    breaks = np.sort(np.concatenate([lower - target, upper - target]))
    low, high = 0, len(breaks) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if np.clip(target + breaks[middle], lower, upper).sum() <= total:
            low = middle
        else:
            high = middle
    centre = target + (breaks[low] + breaks[high]) / 2
    free = (centre > lower) & (centre < upper)
    shift = breaks[low]
    if free.any():
        # The bounds are whole numbers: only the free clusters' targets bring rounding into lambda.
        rest = total - lower[centre <= lower].sum() - upper[centre >= upper].sum()
        shift = (rest - target[free].sum()) / np.count_nonzero(free)
    return np.asarray(np.clip(target + shift, lower, upper), dtype=np.float64)


def quotas(
    complexity: NDArray[np.float64],
    sizes: NDArray[np.int64],
    total: int,
    temperature: float = 0.1,
    balance: float = 0.0,
) -> NDArray[np.int64]:
    """Number of samples that each cluster keeps: int64 (K,), summing to `total` exactly.

    The optimum of the quadratic programme is rounded by largest remainder, ties to the smaller cluster number: every
    quota is within one sample of the optimum and within its bounds.

    Args:
        complexity: float64 (K,), finite.
        sizes: int64 (K,), M_j.
        total: N, from the sum of `lower_bounds` to the sum of the sizes.
        temperature: tau > 0.
        balance: 0 for none, else in (0, 1].

    Raises:
        InfeasibleBudget: a total outside these sums.
        ValueError: values that are not finite or outside their range.
    """
    optimum = real_quotas(complexity, sizes, total, temperature, balance)
    whole = np.floor(optimum).astype(np.int64)
    missing = total - int(whole.sum())
    remainder = np.where(whole < sizes, optimum - whole, -1.0)
    whole[np.argsort(-remainder, kind="stable")[:missing]] += 1
    return whole


def smallest_total(
    complexity: NDArray[np.float64],
    sizes: NDArray[np.int64],
    cluster: int,
    rank: int,
    temperature: float = 0.1,
) -> int:
    """Smallest budget N whose real-valued quota x_cluster(N) reaches `rank`.

    Larger budgets keep a sample of that rank too: without balance x_j(N) never falls, although its rounded quota may
    fall by one. With balance the lower bounds of other clusters grow with N, x_j(N) can fall and there is no such
    budget.

    x_cluster(N) >= rank iff the sum at lambda = rank - N P_cluster does not exceed N: one O(K) test, bisected over N.

    Args:
        complexity: as for `quotas`.
        sizes: as for `quotas`.
        cluster: number of the sample's cluster.
        rank: the sample's rank in it.
        temperature: as for `quotas`.

    Raises:
        ValueError: a rank outside 1..M_cluster.
    """
    if not 1 <= rank <= sizes[cluster]:
        raise ValueError(
            f"rank {rank:,} lies outside 1..{sizes[cluster]:,}, the size of cluster {cluster}"
        )
    share = probabilities(complexity, sizes, temperature)
    lower = lower_bounds(sizes, 0)
    least, most = int(lower.sum()), int(sizes.sum())
    if rank <= lower[cluster]:
        return least

    def reached(total: int) -> bool:
        shift = rank - total * share[cluster]
        # The slack is the rounding of a sum near `total`; it keeps exact ties on the right side.
        slack = 64 * np.finfo(np.float64).eps * total
        return bool(np.clip(total * share + shift, lower, sizes).sum() <= total + slack)

    low, high = least - 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _unit(centroids: NDArray[np.float32]) -> NDArray[np.float64]:
    """Centroids as float64; a ValueError where they are not finite rows of length 1."""
    if centroids.ndim != 2 or not len(centroids):
        raise ValueError(
            f"centroids have shape {centroids.shape}, and must be (K, d) with K at least 1"
        )
    unit = finite(centroids, "centroids")
    length = np.sqrt(np.einsum("ij,ij->i", unit, unit))
    worst = int(np.abs(length - 1).argmax())
    if abs(length[worst] - 1) > 1e-3:
        raise ValueError(
            f"centroid {worst} has length {length[worst]:.6g}, not 1 (to 0.001): "
            "normalise the centroids"
        )
    return unit
