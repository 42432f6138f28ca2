"""Semantic duplicates by SemDeDup's rule: each member's largest similarity to earlier members of its cluster.

Abbas, Tirumala, Simig, Ganguli and Morcos, "SemDeDup" (2023). The members of a cluster have an order; M_j is the
largest cosine of member j to any earlier one, and j is dropped where M_j > 1 - epsilon. M does not depend on epsilon:
it is stored once, and another epsilon is another comparison. The rule is not greedy: a dropped member still counts for
later ones.

Embeddings are stored as halves, whose length is not quite 1: they are normalised again before they are compared, so
that copies have a cosine of 1 within RESOLUTION, and nobody has a larger one.

Only tiles of the similarity matrix with earlier members are computed, each by one single-threaded matrix product whose
shape depends on the cluster's size alone: the bits are the same for any number of threads and any storage of the
embeddings. Memory beside the embeddings is a few tiles.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from tamis.pipeline.algorithms.arrays import Float32Array, Int64Array, UInt64Array
from tamis.pipeline.algorithms.clusters import tiles
from tamis.pipeline.algorithms.clusters.float16 import widen
from tamis.pipeline.algorithms.grouping.buckets import uid_rank
from tamis.pipeline.algorithms.order import hashed

Which = Literal["hard", "easy", "random"]

RESOLUTION = 1e-6
"""Copies have a similarity above 1 - this: at a larger epsilon they are found."""

_FREE_COST = 1e13  # FLOP that are never worth saving: about a minute on two cores
_SLACK = 1.5  # times the cheapest cost
_SKEW = 2.0  # sum of the squared cluster sizes over n^2 / K: 1 for equal sizes, about 2 for real embeddings


def order_in_cluster(
    distance: NDArray[np.floating], uid: UInt64Array, which: Which, seed: int = 0
) -> Int64Array:
    """Order the members of a cluster: int64 (n,) rows; a member is never dropped for a later one.

    Args:
        distance: (n,), to the centroid.
        uid: uint64 (n, 2), unique; at equal distance the smaller uid comes first.
        which: `hard` puts the farthest first, `easy` the nearest, `random` the smallest hash of seed and uid.
        seed: the job's, for `random`.

    Raises:
        ValueError: another `which`, or a uid that stands twice.
    """
    rank = uid_rank(uid)
    if which == "hard":
        return np.lexsort((rank, -distance))
    if which == "easy":
        return np.lexsort((rank, distance))
    if which == "random":
        return np.lexsort((rank, hashed(uid, seed, "semantic duplicates")))
    raise ValueError(f"which_to_keep is {which!r}; give 'hard', 'easy' or 'random'")


def max_similarity(
    embeddings: NDArray[np.floating],
    order: Int64Array,
    threads: int = 1,
    device: str | None = None,
) -> tuple[Float32Array, Int64Array]:
    """Largest similarity of each row to the rows before it in `order`, and the partner, the row with that similarity.

    Args:
        embeddings: (n, d) float16 or float32, of about unit norm; converted and normalised tile by tile.
        order: int64 (n,), a permutation of the rows.
        threads: tiles computed at once; the result does not depend on it.
        device: as for `max_similarity_blocks`.

    Returns:
        (max_similarity float32 (n,), partner int64 (n,)), aligned with the rows of `embeddings`. The first row, and a
        row whose similarities are all below 0, have 0 and themselves. Of several rows with the same similarity the
        partner is the earliest in `order`. Equal rows can differ in the last bit: some BLAS round them differently at
        different positions of a tile.

    Raises:
        ValueError: order is no permutation, or an embedding is not finite.
    """
    n = len(embeddings)
    if len(order) != n or not np.array_equal(np.sort(order), np.arange(n)):
        raise ValueError(f"order of length {len(order)} must be a permutation of the {n} rows")

    def fetch(start: int, stop: int) -> NDArray[np.floating]:
        return embeddings[order[start:stop]]

    similarity = np.empty(n, dtype=np.float32)
    partner = np.empty(n, dtype=np.int64)
    blocks = max_similarity_blocks(fetch, n, embeddings.shape[1], threads, device=device)
    for start, values, positions in blocks:
        rows = order[start : start + len(values)]
        similarity[rows] = values
        partner[rows] = order[positions]
    return similarity, partner


def max_similarity_blocks(
    fetch: tiles.Fetch,
    n: int,
    dimensions: int,
    threads: int = 1,
    start: int = 0,
    stop: int | None = None,
    device: str | None = None,
) -> Iterator[tuple[int, Float32Array, Int64Array]]:
    """Blocks of `max_similarity` of a cluster that is read in pieces, or divided among tasks.

    A task for positions `start` to `stop` reads all positions before `stop`: tasks that together cover the cluster
    compare all pairs, and have the bits of one task.

    Args:
        fetch: (start, stop) -> embeddings (stop - start, d) at these positions of the order.
        n: members of the cluster; fixes the shape of the tiles.
        dimensions: d.
        threads: tiles computed at once.
        start: first position to compute, a multiple of `tiles.piece(n)`.
        stop: end of the positions to compute, such a multiple or n.
        device: None for the CPU; else its name in torch. Similarities of the two differ by rounding, some 1e-6.

    Yields:
        (first position, max_similarity float32 (k,), partner's position int64 (k,)), in order.

    Raises:
        ValueError: a start or stop that is no such multiple, or an embedding that is not finite.
    """
    stop = n if stop is None else stop
    if start % tiles.piece(n) or (stop % tiles.piece(n) and stop != n):
        raise ValueError(
            f"positions {start} to {stop} must be multiples of {tiles.piece(n)}, or end at {n}"
        )
    if device is not None:
        from tamis.pipeline.algorithms.clusters import gpu

        yield from gpu.max_similarity_blocks(fetch, n, dimensions, device, (start, stop))
    else:
        yield from _on_cpu(fetch, n, dimensions, threads, (start, stop))


def _on_cpu(
    fetch: tiles.Fetch, n: int, dimensions: int, threads: int, positions: tuple[int, int]
) -> Iterator[tuple[int, Float32Array, Int64Array]]:
    start, stop = positions
    tile = tiles.side(n)
    later = np.triu(np.ones((tile, tile), dtype=bool))
    with ExitStack() as stack:
        stack.enter_context(_blas().limit(limits=1, user_api="blas"))
        pool = stack.enter_context(ThreadPoolExecutor(threads)) if threads > 1 else None
        for first in range(start, stop, tiles.piece(n)):
            last = min(first + tiles.piece(n), stop)
            rows = [
                _Row(
                    position,
                    _converted(fetch, position, min(position + tile, n), tile, dimensions),
                    later,
                )
                for position in range(first, last, tile)
            ]
            for column in range(0, first, tile):
                block = _converted(fetch, column, min(column + tile, n), tile, dimensions)
                _run(pool, [partial(row.compare, block, column) for row in rows])
            # The last rows have the most tiles: they start first, so that no thread waits for them.
            _run(pool, [partial(row.compare_within, rows) for row in reversed(rows)])
            yield _result(rows, first, last)


def _run(pool: ThreadPoolExecutor | None, tasks: list[Callable[[], None]]) -> None:
    if pool is None:
        for task in tasks:
            task()
        return
    for future in [pool.submit(task) for task in tasks]:
        future.result()


def _result(rows: "list[_Row]", first: int, last: int) -> tuple[int, Float32Array, Int64Array]:
    # Rounding may lift a product of two unit vectors above 1.
    best = np.minimum(np.concatenate([row.best for row in rows])[: last - first], np.float32(1))
    partner = np.concatenate([row.partner for row in rows])[: last - first]
    alone = best < 0
    own = np.arange(first, last)
    return first, np.where(alone, np.float32(0), best), np.where(alone, own, partner)


@cache
def _blas() -> ThreadpoolController:
    # Finding the libraries takes longer than a small cluster: it is done once a process.
    return ThreadpoolController()


class _Row:
    """One row of tiles: the embeddings at its positions, and their best partners so far."""

    def __init__(self, position: int, vectors: Float32Array, later: NDArray[np.bool_]) -> None:
        self.position = position
        self.vectors = vectors
        self.best = np.full(len(vectors), -np.inf, dtype=np.float32)
        self.partner = np.arange(position, position + len(vectors))
        self._products = np.empty((len(vectors), len(vectors)), dtype=np.float32)
        self._rows = np.arange(len(vectors))
        self._later = later

    def compare_within(self, rows: "list[_Row]") -> None:
        """Compare with the rows of tiles up to this one, in their order."""
        for row in rows:
            if row.position <= self.position:
                self.compare(row.vectors, row.position)

    def compare(self, block: Float32Array, column: int) -> None:
        """Compare with `block`, the embeddings at the positions from `column` on."""
        products = np.matmul(self.vectors, block.T, out=self._products)
        if column == self.position:
            # On the diagonal a position is compared with earlier ones only.
            np.copyto(products, -np.inf, where=self._later)
        nearest = products.argmax(axis=1)
        value = products[self._rows, nearest]
        # Columns come in order, so an equal value later on is not the earliest.
        better = value > self.best
        self.best[better] = value[better]
        self.partner[better] = column + nearest[better]


def _converted(
    fetch: tiles.Fetch, start: int, stop: int, tile: int, dimensions: int
) -> Float32Array:
    """Embeddings at the positions from `start` to `stop` as float32 of unit norm, padded with zeros to a whole tile."""
    block = np.zeros((tile, dimensions), dtype=np.float32)
    widen(fetch(start, stop), block[: stop - start])
    if not np.isfinite(block).all():
        bad = int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
        raise ValueError(tiles.not_finite(start + bad))
    length = np.sqrt(np.einsum("ij,ij->i", block, block))[:, None]
    np.divide(block, length, out=block, where=length > 0)
    return block


@dataclass(frozen=True)
class ClusterCost:
    """Number of clusters for semantic duplicates, and their cost in FLOP."""

    clusters: int
    assign: float
    """Products of every sample with every centroid."""
    compare: float
    """Products of all pairs inside the clusters, each pair once."""
    train: float
    """Iterations of k-means over its sample."""

    @property
    def total(self) -> float:
        """Cost of all three, in FLOP."""
        return self.assign + self.compare + self.train


def cluster_cost(n: int, dimensions: int, clusters: int) -> ClusterCost:
    """Cost of semantic duplicates among n samples in this number of clusters."""
    share = min(1.0, _SKEW / clusters)
    trained = min(n, 256 * clusters) if clusters > 1 else 0
    return ClusterCost(
        clusters=clusters,
        assign=2.0 * n * clusters * dimensions if clusters > 1 else 0.0,
        compare=float(n) * n * dimensions * share,
        train=2.0 * trained * clusters * dimensions * 20,
    )


def auto_clusters(n: int, dimensions: int) -> ClusterCost:
    """Choose the number of clusters for n samples: as few as the cost allows, since pairs across clusters are lost.

    Comparing costs n^2 d skew / K and assigning 2 n K d, so the cheapest K is near sqrt(n skew / 2). The result is the
    fewest clusters whose cost is within _SLACK times that minimum or within _FREE_COST, whichever allows fewer.
    """
    if n < 1 or dimensions < 1:
        raise ValueError(f"{n} samples of {dimensions} dimensions; give at least one of each")
    # K in steps of an eighth of a power of two: cost is flat around its minimum.
    steps = int(8 * np.log2(n)) + 1
    counts = sorted({max(1, round(2 ** (step / 8))) for step in range(steps)})
    costs = [cluster_cost(n, dimensions, clusters) for clusters in counts]
    limit = max(_FREE_COST, _SLACK * min(cost.total for cost in costs))
    return next(cost for cost in costs if cost.total <= limit)


def dropped(similarity: NDArray[Any], epsilon: float) -> NDArray[np.bool_]:
    """Mark the duplicates by their largest similarities M (n,), M > 1 - epsilon in float64: bool (n,)."""
    return similarity.astype(np.float64) > 1.0 - epsilon
