"""Semantic duplicates by SemDeDup's rule: each member's largest similarity to those before it.

Abbas, Tirumala, Simig, Ganguli and Morcos, "SemDeDup" (2023). Inside a cluster the members stand in
an order; M_j is the largest cosine of member j to any earlier one, and j is dropped where
M_j > 1 - epsilon. M does not depend on epsilon, so it is stored once and every epsilon is a
comparison. It is not greedy: a dropped member still counts for later ones.

Only the tiles of the similarity matrix that hold earlier members are computed, each by one
single-threaded matrix product of a shape fixed by the cluster's size alone: the result is the same
to the bit for any number of threads and any way of holding the embeddings. Memory beside them
is a few tiles.
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


def order_in_cluster(
    distance: NDArray[np.floating], uid: UInt64Array, which: Which, seed: int = 0
) -> Int64Array:
    """Order the members of a cluster: who comes first is never dropped for who comes later.

    Args:
        distance: (n,), to the centroid.
        uid: uint64 (n, 2), unique; the smaller uid comes first at equal distance.
        which: `hard` keeps the farthest, `easy` the nearest, `random` neither.
        seed: for `random`; the order follows the hash of seed and uid.

    Returns:
        int64 (n,): row numbers, first to last.
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
    """Give each row its largest similarity to the rows before it in `order`, and the row it is to.

    Args:
        embeddings: (n, d) unit vectors, fp16 or fp32; converted tile by tile.
        order: int64 (n,), a permutation of the rows.
        threads: tiles computed at once; the result does not depend on it.
        device: see `max_similarity_blocks`.

    Returns:
        (max_similarity float32 (n,), partner int64 (n,)), aligned with the rows of `embeddings`.
        Similarities below 0 count as 0 with the row itself, and so does the first row's. Of several
        rows of the same similarity the partner is the earliest in `order`; the same to the last bit,
        that is: on some processors a BLAS rounds equal rows otherwise at other places of a tile.

    Raises:
        ValueError: order is no permutation, or an embedding is not finite.
    """
    n = len(embeddings)
    if len(order) != n or not np.array_equal(np.sort(order), np.arange(n)):
        raise ValueError(f"order must be a permutation of the {n} rows of embeddings")

    def fetch(start: int, stop: int) -> NDArray[np.floating]:
        return embeddings[order[start:stop]]

    similarity = np.empty(n, dtype=np.float32)
    partner = np.empty(n, dtype=np.int64)
    compared = max_similarity_blocks(fetch, n, embeddings.shape[1], threads, device=device)
    for start, values, places in compared:
        rows = order[start : start + len(values)]
        similarity[rows] = values
        partner[rows] = order[places]
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
    """Compute `max_similarity` of a cluster that is read in pieces, or shared among tasks.

    A task that takes places `start` to `stop` reads all places before `stop` and compares its own
    with them: tasks that together cover the cluster lose no pair, and give the bits of one task.

    Args:
        fetch: (start, stop) -> the embeddings of these places of the order, (stop - start, d).
        n: members of the cluster; fixes the shape of the tiles.
        dimensions: d.
        threads: tiles computed at once.
        start: first place to compute, a multiple of `tiles.piece(n)`.
        stop: end of the places to compute, such a multiple or n.
        device: None for the processors; else as torch names it: rounding alone, some 1e-6, sets these apart.

    Yields:
        (first place, max_similarity float32 (k,), partner's place int64 (k,)), in order.
    """
    stop = n if stop is None else stop
    if start % tiles.piece(n) or (stop % tiles.piece(n) and stop != n):
        raise ValueError(
            f"places {start} to {stop} must be multiples of {tiles.piece(n)}, or end at {n}"
        )
    if device is not None:
        from tamis.pipeline.algorithms.clusters import gpu

        yield from gpu.max_similarity_blocks(fetch, n, dimensions, device, (start, stop))
        return
    tile = tiles.side(n)
    later = np.triu(np.ones((tile, tile), dtype=bool))
    with ExitStack() as stack:
        stack.enter_context(_blas().limit(limits=1, user_api="blas"))
        pool = stack.enter_context(ThreadPoolExecutor(threads)) if threads > 1 else None
        for first in range(start, stop, tiles.piece(n)):
            last = min(first + tiles.piece(n), stop)
            rows = [
                _Row(place, _converted(fetch, place, min(place + tile, n), tile, dimensions), later)
                for place in range(first, last, tile)
            ]
            for column in range(0, first, tile):
                block = _converted(fetch, column, min(column + tile, n), tile, dimensions)
                _run(pool, [partial(row.compare, block, column) for row in rows])
            # The last rows have the most tiles: started first, they leave no thread waiting.
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
    best = np.concatenate([row.best for row in rows])[: last - first]
    place = np.concatenate([row.partner for row in rows])[: last - first]
    alone = best < 0
    own = np.arange(first, last)
    return first, np.where(alone, np.float32(0), best), np.where(alone, own, place)


@cache
def _blas() -> ThreadpoolController:
    # Looking for the libraries takes longer than a small cluster: once a process.
    return ThreadpoolController()


class _Row:
    """One row of tiles: the embeddings of its places, and the best seen so far."""

    def __init__(self, place: int, vectors: Float32Array, later: NDArray[np.bool_]) -> None:
        self.place = place
        self.vectors = vectors
        self.best = np.full(len(vectors), -np.inf, dtype=np.float32)
        self.partner = np.arange(place, place + len(vectors))
        self._products = np.empty((len(vectors), len(vectors)), dtype=np.float32)
        self._rows = np.arange(len(vectors))
        self._later = later

    def compare_within(self, rows: "list[_Row]") -> None:
        """Compare with the rows of tiles up to this one, in order."""
        for row in rows:
            if row.place <= self.place:
                self.compare(row.vectors, row.place)

    def compare(self, block: Float32Array, column: int) -> None:
        """Compare with the places from `column` on, those of `block`."""
        products = np.matmul(self.vectors, block.T, out=self._products)
        if column == self.place:
            # On the diagonal a place is compared with those before it only.
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
    """Read places as float32, padded with zeros to a whole tile."""
    block = np.zeros((tile, dimensions), dtype=np.float32)
    widen(fetch(start, stop), block[: stop - start])
    if not np.isfinite(block).all():
        bad = int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
        raise ValueError(tiles.not_finite(start + bad))
    return block


@dataclass(frozen=True)
class ClusterPlan:
    """How many clusters semantic duplicates are looked for in, and what that costs in FLOP."""

    clusters: int
    assign: float
    """One product with every centroid for every sample."""
    compare: float
    """Products of all pairs inside the clusters, each pair once."""
    train: float
    """Iterations of k-means over its sample."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.assign + self.compare + self.train


def cluster_cost(n: int, dimensions: int, clusters: int, skew: float = 2.0) -> ClusterPlan:
    """Cost of semantic duplicates with so many clusters.

    Args:
        n: samples.
        dimensions: of the embedding.
        clusters: K.
        skew: sum of the squared cluster sizes over n^2 / K; 1 for equal sizes, about 2 for real
            embeddings.
    """
    share = min(1.0, skew / clusters)
    trained = min(n, 256 * clusters) if clusters > 1 else 0
    return ClusterPlan(
        clusters=clusters,
        assign=2.0 * n * clusters * dimensions if clusters > 1 else 0.0,
        compare=float(n) * n * dimensions * share,
        train=2.0 * trained * clusters * dimensions * 20,
    )


def auto_clusters(
    n: int, dimensions: int, budget: float = 1e13, slack: float = 1.5, skew: float = 2.0
) -> ClusterPlan:
    """Choose the number of clusters: as few as the cost allows, since pairs across them are lost.

    Comparing costs n^2 d skew / K and assigning 2 n K d, so the cheapest K is near
    sqrt(n skew / 2). The fewest clusters are taken whose cost is within `slack` times that minimum,
    or within the budget, whichever allows fewer.

    Args:
        n: samples.
        dimensions: of the embedding.
        budget: FLOP that are never worth saving; 1e13 is about a minute on two cores.
        slack: how much more than the cheapest is acceptable.
        skew: see `cluster_cost`.
    """
    if n < 1 or dimensions < 1:
        raise ValueError(f"{n} samples of {dimensions} dimensions; give at least one of each")
    # K in steps of an eighth of a power of two: cost is flat around its minimum.
    steps = int(8 * np.log2(n)) + 1
    counts = sorted({max(1, round(2 ** (step / 8))) for step in range(steps)})
    plans = [cluster_cost(n, dimensions, clusters, skew) for clusters in counts]
    allowed = max(budget, slack * min(plan.total for plan in plans))
    return next(plan for plan in plans if plan.total <= allowed)


def dropped(similarity: NDArray[Any], epsilon: float) -> NDArray[np.bool_]:
    """Decide: M > 1 - epsilon, strictly, in float64."""
    return similarity.astype(np.float64) > 1.0 - epsilon
