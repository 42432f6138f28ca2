"""Spherical k-means: train on a sample, assign every embedding, refine over parts.

Embeddings are unit rows; similarity is the inner product. Clusters, similarities and sums have the same bits for any
slicing of the rows into calls and any number of threads: products run in blocks of one fixed shape, each on one thread;
`threads` is the number of blocks that run at once. faiss and scipy are imported where they are used: most commands load
this module, and few compute.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.clusters.float16 import widen

if TYPE_CHECKING:
    from tamis.pipeline.algorithms.clusters.gpu import Nearest, Sums

Embeddings = NDArray[np.float32] | NDArray[np.float16]

POINTS_PER_CENTROID = 256
_BLOCK = 1024  # rows of a matrix product; of 10,000 rows 2.4% are padding
_GRID = np.float32(2.0**24)  # every float16 is a multiple of 2^-24
_SPLIT = 1.0 / 1024


class Fit(NamedTuple):
    """Trained centroids, float32 (K, d), and the mean similarity to the nearest one before each iteration."""

    centroids: NDArray[np.float32]
    similarity: NDArray[np.float64]


class Update(NamedTuple):
    """Result of one Lloyd step.

    `centroids` are float32 (K, d) unit rows; `reseeded` are the clusters that were empty, ascending; `movement` is the
    mean of |new - old|^2 / 2, which is 1 - cosine, over the clusters with members, before any is split: 0 once the
    centroids stand still.
    """

    centroids: NDArray[np.float32]
    reseeded: NDArray[np.int64]
    movement: float


def auto_clusters(samples: int) -> int:
    """Number of clusters for `clusters: auto`, 1 to 500.

    500 is the paper's number for 280M samples, and its cost does not grow with the data. There are fewer where a
    cluster would have under 256 members, the number that k-means trains on, since d_intra is a mean over them; but at
    least 32, more than the 20 neighbours of d_inter, as long as each has 4 samples. (The paper took 100 for
    DataComp-medium.)
    """
    return max(1, min(500, max(samples // POINTS_PER_CENTROID, 32), samples // 4))


def sample_size(clusters: int, samples: int, points: int = POINTS_PER_CENTROID) -> int:
    """Number of samples to train on: `points` for each centroid, or all where there are fewer."""
    return min(samples, clusters * points)


def usable(embeddings: Embeddings) -> NDArray[np.bool_]:
    """Mark the rows of embeddings (n, d) that can be clustered, finite and not all zero: bool (n,)."""
    mask = np.empty(len(embeddings), np.bool_)
    for start in range(0, len(embeddings), _BLOCK):
        rows = embeddings[start : start + _BLOCK].astype(np.float32)
        mask[start : start + len(rows)] = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
    return mask


def train(
    sample: Embeddings, clusters: int, iterations: int, seed: int, threads: int = 1
) -> NDArray[np.float32]:
    """Centroids of spherical k-means, float32 (K, d) unit rows; see `fit`."""
    return fit(sample, clusters, iterations, seed, threads).centroids


def fit(
    sample: Embeddings,
    clusters: int,
    iterations: int,
    seed: int,
    threads: int = 1,
    device: str | None = None,
) -> Fit:
    """Train spherical k-means on all rows of a sample: Lloyd iterations of `assign`, `partial_sums` and `update`.

    The first centroids are the rows whose numbers have the smallest hashes, so the result depends on the order of rows:
    pass them sorted by their own hash. Training ends early when an iteration moves no centroid and re-seeds none, or
    when it repeats the centroids of two iterations ago, as where the largest cluster is one row many times, which no
    split divides; the result is that of all iterations. faiss's own training is not used: a product's last bits may
    change with the number of threads, and on one thread 50,000 clusters take hours. The sample takes 4 d bytes a row.

    Args:
        sample: (n, d) unit rows, float32 or float16, n >= clusters.
        clusters: K.
        iterations: most Lloyd iterations; the paper's code has 100.
        seed: the job's, for the first centroids.
        threads: as for `assign`; the centroids do not depend on it.
        device: as for `Centroids`; the sample is kept there if it fits.

    Raises:
        ValueError: fewer rows than clusters, or rows that are not finite or of unit length (to 0.01).
    """
    rows = np.ascontiguousarray(sample, dtype=np.float32)
    _check_count(rows, clusters)
    _check_unit(rows)
    centroids = _first_centroids(rows, clusters, seed)
    similarity: list[float] = []
    sums_of = _assignment(rows, threads, device)
    before = centroids
    for left in reversed(range(iterations)):
        sums, counts, mean = sums_of(centroids)
        similarity.append(mean)
        step = update(sums, counts, centroids)
        if step.movement == 0 and not len(step.reseeded):
            centroids = step.centroids
            break
        if np.array_equal(step.centroids, before):
            # These two follow each other for ever: the one that would be last is taken.
            centroids = centroids if left % 2 else step.centroids
            break
        before, centroids = centroids, step.centroids
    return Fit(centroids, np.array(similarity))


def _first_centroids(rows: NDArray[np.float32], clusters: int, seed: int) -> NDArray[np.float32]:
    """(K, d): the rows whose numbers have the smallest hashes, normalised."""
    numbers = np.zeros((len(rows), 2), np.uint64)
    numbers[:, 1] = np.arange(len(rows))
    start = order.smallest(order.hashed(numbers, seed, "start"), numbers, clusters)
    return _normalised(rows[start].astype(np.float64))


def _assignment(
    rows: NDArray[np.float32], threads: int, device: str | None
) -> "Callable[[NDArray[np.float32]], Sums]":
    """Function that assigns all rows to given centroids and returns their sums, counts and mean similarity."""
    if device is not None:
        from tamis.pipeline.algorithms.clusters.gpu import Sample

        return Sample(rows, device).sums

    def on_cpu(centroids: NDArray[np.float32]) -> "Sums":
        cluster, nearest = assign(rows, centroids, threads)
        mean = float(nearest.mean(dtype=np.float64))
        return *partial_sums(rows, cluster, len(centroids)), mean

    return on_cpu


class Centroids:
    """Centroids with their search index, which several calls share.

    Args:
        rows: float32 (K, d).
        device: None for the CPU, by faiss; else its name in torch, see `tamis.pipeline.algorithms.clusters.gpu`.
    """

    def __init__(self, rows: NDArray[np.float32], device: str | None = None) -> None:
        self.rows = np.ascontiguousarray(rows, dtype=np.float32)
        self._nearest: Nearest | None = None
        if device is None:
            import faiss

            self._index = faiss.IndexFlatIP(rows.shape[1])
            self._index.add(self.rows)
        else:
            from tamis.pipeline.algorithms.clusters import gpu

            self._nearest = gpu.Nearest(self.rows, device)

    def assign(
        self, embeddings: Embeddings, threads: int = 1
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Nearest centroid of every embedding, and the cosine to it, as by the function `assign`."""
        if embeddings.ndim != 2 or embeddings.shape[1] != self.rows.shape[1]:
            raise ValueError(
                f"embeddings have shape {embeddings.shape} and centroids {self.rows.shape}: "
                "both need the same number of columns; use centroids of the same encoder"
            )
        cluster = np.empty(len(embeddings), np.int32)
        similarity = np.empty(len(embeddings), np.float32)
        on_gpu = self._nearest.labels(embeddings) if self._nearest else None
        spans = list(_spans(len(embeddings)))

        def work(first: int) -> None:
            # Fresh pages for every block would cost a tenth of the time.
            rows = np.zeros((_BLOCK, self.rows.shape[1]), np.float32)
            nearest = np.zeros_like(rows)
            for span in spans[first::threads]:
                count = span.stop - span.start
                widen(embeddings[span], rows[:count])
                labels = self._index.search(rows, 1)[1][:, 0] if on_gpu is None else on_gpu[span]
                # faiss gives -1 for a row with NaN; it is clipped to 0, and the product is NaN.
                np.take(self.rows, labels, axis=0, out=nearest[: len(labels)], mode="clip")
                product = np.einsum("ij,ij->i", rows, nearest)
                cluster[span] = labels[:count]
                similarity[span] = product[:count]

        import faiss

        # OpenMP's number of threads is set for the calling thread alone: the caller keeps its own.
        with ThreadPoolExecutor(
            threads, initializer=faiss.omp_set_num_threads, initargs=(1,)
        ) as pool:
            list(pool.map(work, range(threads)))
        bad = np.flatnonzero(~np.isfinite(similarity))
        if bad.size:
            raise ValueError(
                f"{bad.size:,} of {len(embeddings):,} embeddings are NaN or infinite, the first at row "
                f"{bad[0]:,}: drop the rows that are not `usable`"
            )
        return cluster, similarity


def assign(
    embeddings: Embeddings,
    centroids: NDArray[np.float32],
    threads: int = 1,
    device: str | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Nearest centroid of every embedding, and the cosine to it.

    faiss, or torch on a device, finds the nearest. The cosine is then computed row by row in a fixed order of addition,
    because that of a matrix product changes with the slicing. Equal products go to the smaller cluster number. On a
    device a label differs only where rounding decides between two centroids: their cosines to unit rows are then within
    d 2^-23 in the worst case, and within 4e-7 in all measured ones. Equal labels have equal cosines.

    Args:
        embeddings: (n, d), float32 or float16 (converted a block at a time).
        centroids: float32 (K, d).
        threads: blocks that run at once; the results do not depend on it.
        device: as for `Centroids`.

    Returns:
        (int32 (n,) cluster, float32 (n,) similarity).

    Raises:
        ValueError: another number of dimensions, or rows that are not finite.
    """
    return Centroids(centroids, device).assign(embeddings, threads)


def partial_sums(
    embeddings: Embeddings, cluster: NDArray[np.int32], clusters: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum of embeddings and number of members of each cluster, for one part.

    Coordinates are rounded to multiples of 2^-24, which leaves float16 as it is. Their sums are exact in float64 up to
    5e8 a coordinate, so the sums of parts may be added in any order.

    Args:
        embeddings: (n, d), float32 or float16.
        cluster: int32 (n,).
        clusters: K.

    Returns:
        (float64 (K, d) sums, int64 (K,) counts).
    """
    from scipy import sparse

    sums = np.zeros((clusters, embeddings.shape[1]))
    for span in _spans(len(embeddings)):
        # A block has members of few of many clusters: the product is made over those alone.
        present, labels = np.unique(cluster[span], return_inverse=True)
        rows = np.empty((span.stop - span.start, embeddings.shape[1]), np.float32)
        widen(embeddings[span], rows)
        if embeddings.dtype != np.float16:
            np.rint(rows * _GRID, out=rows)
            rows *= 1 / _GRID
        members = sparse.csr_array(
            (np.ones(len(labels)), labels, np.arange(len(labels) + 1)),
            shape=(len(labels), len(present)),
        )
        sums[present] += np.asarray(members.T @ rows)
    return sums, np.bincount(cluster, minlength=clusters).astype(np.int64)


def update(
    sums: NDArray[np.float64], counts: NDArray[np.int64], centroids: NDArray[np.float32]
) -> Update:
    """Next centroids, from the sums over all parts.

    A centroid becomes the direction of its members' sum; where that sum is zero it stays. Each empty cluster, in
    ascending order, takes half of the cluster with the most members at that moment (ties to the smaller number): both
    start from its centroid, with coordinates scaled by 1 +- 1/1024 in turn and opposite signs, and share its count.

    Args:
        sums: float64 (K, d), added up from `partial_sums`.
        counts: int64 (K,), likewise.
        centroids: float32 (K, d), those of the assignment.

    Raises:
        ValueError: fewer members than clusters.
    """
    if counts.sum() < len(counts):
        raise ValueError(
            f"{len(counts):,} clusters over {counts.sum():,} embeddings: use fewer clusters"
        )
    old = centroids.astype(np.float64)
    new = np.where(np.any(sums != 0, axis=1, keepdims=True), sums, old)
    new = _normalised(new).astype(np.float64)
    full = counts > 0
    movement = float(np.square(new[full] - old[full]).sum(axis=1).mean() / 2)
    reseeded = np.flatnonzero(~full).astype(np.int64)
    rest = counts.copy()
    tilt = np.where(np.arange(sums.shape[1]) % 2 == 0, _SPLIT, -_SPLIT)
    for empty in reseeded:
        donor = int(rest.argmax())
        new[empty] = new[donor] * (1 + tilt)
        new[donor] = new[donor] * (1 - tilt)
        rest[empty] = rest[donor] // 2
        rest[donor] -= rest[empty]
    return Update(_normalised(new), reseeded, movement)


def _spans(rows: int) -> Iterator[slice]:
    """Slices of blocks of _BLOCK rows, the last one shorter."""
    return (slice(start, min(start + _BLOCK, rows)) for start in range(0, rows, _BLOCK))


def _normalised(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    unit: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float32)


def _check_count(rows: NDArray[np.float32], clusters: int) -> None:
    if not 1 <= clusters <= len(rows):
        raise ValueError(
            f"{clusters:,} clusters from a sample of {len(rows):,} embeddings: "
            f"set clusters to 1..{len(rows):,}, or train on a larger sample"
        )


def _check_unit(rows: NDArray[np.float32]) -> None:
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    bad = np.flatnonzero(~(np.abs(length - 1) <= 0.01))
    if bad.size:
        raise ValueError(
            f"{bad.size:,} of {len(rows):,} embeddings are not of length 1 (to 0.01), the first "
            f"(length {length[bad[0]]:.6g}) at row {bad[0]:,}: normalise them, and drop "
            "the rows that are not `usable`"
        )
