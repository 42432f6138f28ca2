"""The products of k-means and of semantic duplicates by torch, on a GPU. Imported where a device is asked for.

A device is named as torch names it: `cuda`, or `cpu`, where the tests run the same code. What a part of the result
depends on:

- Labels: not on the device. A product finds which centroids could be the nearest, to within what rounding can do
  to it; where there are several, sums in an order that is fixed here decide.
- Sums of members: not on the device, given the labels. They are whole numbers of 2^-24, exact in float64, so that
  atomic additions in any order give the same bits.
- Semantic similarities: on the kernels of one class of device. Rounding alone sets them apart from the processors',
  and the shape of every product follows from the cluster's size and the place in it alone.

Products are made in float32: `tamis.pipeline.host.devices.prepare` sees to it that they are not cut to TF32.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import Float32Array
from tamis.pipeline.algorithms.clusters import tiles

Sums = tuple[NDArray[np.float64], NDArray[np.int64], float]

PRODUCT_BYTES = 256 << 20
"""Products that are held at once: enough to fill a GPU, little beside its memory."""

MOST_ROWS = 1 << 15
"""Rows whose products are held at once, at most, however few the centroids."""

PAIRS = 1 << 18
"""Pairs whose products are summed in the fixed order at once, at most, and no more than PRODUCT_BYTES of them."""

ROUNDING = 2.0**-24
GRID = 2.0**24  # see kmeans.partial_sums


class Nearest:
    """Centroids on a device.

    Args:
        centroids: float32 (K, d).
        device: as torch names it.
    """

    def __init__(self, centroids: Float32Array, device: str) -> None:
        self.device = device
        self._centroids = _sent(centroids, device)
        longest = float(self._centroids.square().sum(dim=1).max().sqrt())
        # Any order of d additions is off by at most d roundings of |x| |c| (Higham's gamma), and so twice that tells
        # two products apart for certain; 64 more are for the fixed order's own sum and for this bound's arithmetic.
        self._apart = 2 * (centroids.shape[1] + 64) * ROUNDING * longest
        self.rows_at_once = max(16, min(MOST_ROWS, PRODUCT_BYTES // (4 * len(centroids))))

    def labels(self, embeddings: NDArray[np.floating]) -> NDArray[np.int32]:
        """The number of the nearest centroid of each row; any number for one that is not finite.

        Args:
            embeddings: (n, d), float16 or float32.
        """
        found = np.empty(len(embeddings), np.int32)
        for start in range(0, len(embeddings), self.rows_at_once):
            here = slice(start, start + self.rows_at_once)
            found[here] = self.of(_sent(embeddings[here], self.device).float())[0].cpu().numpy()
        return found

    def of(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(int64 (n,) label, float32 (n,) product) of float32 rows that are there already; at most `rows_at_once`."""
        products = rows @ self._centroids.T
        best, label = products.max(dim=1)
        bound = best - self._apart * rows.square().sum(dim=1).sqrt()
        # What else may be the nearest is rare: only then are products looked at again.
        products.scatter_(1, label[:, None], -torch.inf)
        close = torch.nonzero(products.amax(dim=1) >= bound)[:, 0]
        products.scatter_(1, label[:, None], torch.inf)
        # Where all may be, as where all centroids are one, it is done in pieces.
        for some in close.split(max(1, 16 * PAIRS // products.shape[1])):
            able = products[some] >= bound[some][:, None]
            label[some] = self._decided(rows[some], able)
        return label, best

    def _decided(self, rows: torch.Tensor, able: torch.Tensor) -> torch.Tensor:
        """Of the centroids that may be nearest to each row, the one that is; the first of equals."""
        row, number = torch.nonzero(able, as_tuple=True)
        most = max(1, min(PAIRS, PRODUCT_BYTES // (4 * rows.shape[1])))
        pairs = zip(row.split(most), number.split(most), strict=True)
        value = torch.cat([summed(rows[r] * self._centroids[n]) for r, n in pairs])
        best = torch.full((len(rows),), -torch.inf, device=rows.device)
        best.scatter_reduce_(0, row, value, "amax")
        number = torch.where(value == best[row], number, able.shape[1] - 1)
        first = torch.full((len(rows),), able.shape[1] - 1, device=rows.device)
        return first.scatter_reduce_(0, row, number, "amin")


def summed(products: torch.Tensor) -> torch.Tensor:
    """Sums of the rows of (n, d), (n,), in one order everywhere.

    The second half of the columns is added to the first until one is left; of an odd number the last goes to the first.
    """
    while (columns := products.shape[1]) > 1:
        half = columns // 2
        folded = products[:, :half] + products[:, half : 2 * half]
        if columns % 2:
            folded[:, 0] += products[:, -1]
        products = folded
    return products[:, 0]


class Sample:
    """What k-means trains on, on a device; what does not fit there goes there block by block, each time.

    Args:
        rows: float32 (n, d).
        device: as torch names it.
        room: bytes of the device that it may take; half of what is free, or its own, by default.
    """

    def __init__(self, rows: Float32Array, device: str, room: int | None = None) -> None:
        self._rows, self._device = rows, device
        room = _room(device) if room is None else room
        self._held = _sent(rows, device) if rows.nbytes <= room else None

    def sums(self, centroids: Float32Array) -> Sums:
        """One assignment: as `kmeans.partial_sums`, and the mean product with the nearest centroid."""
        nearest = Nearest(centroids, self._device)
        total = torch.zeros(centroids.shape, dtype=torch.float64, device=self._device)
        counts = torch.zeros(len(centroids), dtype=torch.int64, device=self._device)
        similarity = torch.zeros((), dtype=torch.float64, device=self._device)
        for start in range(0, len(self._rows), nearest.rows_at_once):
            here = slice(start, start + nearest.rows_at_once)
            rows = _sent(self._rows[here], self._device) if self._held is None else self._held[here]
            label, best = nearest.of(rows)
            total.index_add_(0, label, (rows * GRID).round_().double())
            counts.index_add_(0, label, torch.ones_like(label))
            similarity += best.double().sum()
        mean = float(similarity) / max(1, len(self._rows))
        return (total / GRID).cpu().numpy(), counts.cpu().numpy(), mean


class _Pieces:
    """The embeddings of a cluster, `tiles.piece(n)` places a time: on the device as far as they fit."""

    def __init__(
        self, fetch: tiles.Fetch, n: int, dimensions: int, device: str, room: int | None
    ) -> None:
        self._fetch, self._n, self._device = fetch, n, device
        self._size = tiles.piece(n)
        room = _room(device) if room is None else room
        self._most = room // (4 * self._size * dimensions)
        self._kept: dict[int, torch.Tensor] = {}

    def at(self, first: int) -> torch.Tensor:
        """Float32, of the places from `first` on.

        Raises:
            ValueError: one is not finite.
        """
        if first in self._kept:
            return self._kept[first]
        rows = _sent(self._fetch(first, min(first + self._size, self._n)), self._device).float()
        bad = torch.nonzero(~torch.isfinite(rows).all(dim=1))
        if len(bad):
            raise ValueError(tiles.not_finite(first + int(bad[0, 0])))
        # What comes first is compared with most of the others.
        if len(self._kept) < self._most:
            self._kept[first] = rows
        return rows


def max_similarity_blocks(
    fetch: tiles.Fetch,
    n: int,
    dimensions: int,
    device: str,
    span: tuple[int, int],
    room: int | None = None,
) -> Iterator[tuple[int, Float32Array, NDArray[np.int64]]]:
    """`semantic.max_similarity_blocks` on a device.

    Args:
        fetch: as there.
        n: as there.
        dimensions: as there.
        device: as torch names it.
        span: the places to compute.
        room: bytes of the device that embeddings may take, by default as for `Sample`. The rest is fetched anew.
    """
    size = tiles.piece(n)
    tile = tiles.side(n)
    pieces = _Pieces(fetch, n, dimensions, device, room)
    later = torch.ones((tile, tile), dtype=torch.bool, device=device).triu()
    for first in range(span[0], span[1], size):
        last = min(first + size, span[1])
        own = pieces.at(first)[: last - first]
        rows = torch.zeros((-(-len(own) // tile) * tile, dimensions), device=device)
        rows[: len(own)] = own
        best = torch.full((len(rows),), -torch.inf, device=device)
        partner = torch.arange(first, first + len(rows), device=device)
        for column in range(0, first, size):
            _keep_better(best, partner, rows @ pieces.at(column).T, column)
        for top in range(0, len(rows), tile):
            here = slice(top, top + tile)
            products = rows[here] @ rows[: top + tile].T
            # On the diagonal a place is compared with those before it only.
            products[:, top:].masked_fill_(later, -torch.inf)
            _keep_better(best[here], partner[here], products, first)
        alone = best < 0
        best[alone] = 0
        partner[alone] = alone.nonzero()[:, 0] + first
        found = slice(0, last - first)
        yield first, best[found].cpu().numpy(), partner[found].cpu().numpy()


def _keep_better(
    best: torch.Tensor, partner: torch.Tensor, products: torch.Tensor, column: int
) -> None:
    """Take over, in place, what is greater in `products`, whose columns are the places from `column` on."""
    value, place = products.max(dim=1)  # of equal ones the first, as torch says it
    # Columns come in order, so an equal value later on is not the earliest.
    better = value > best
    torch.where(better, value, best, out=best)
    torch.where(better, place + column, partner, out=partner)


def _sent(rows: NDArray[np.floating], device: str) -> torch.Tensor:
    """Rows on a device, float16 as such, anything else as float32."""
    kind = np.float16 if rows.dtype == np.float16 else np.float32
    # Torch takes no array that cannot be written to.
    return torch.from_numpy(np.require(rows, kind, ["C", "W"])).to(device)


def _room(device: str) -> int:
    """Half of the bytes that are free on a GPU, or of what this process may have there; elsewhere as many as one likes.

    Others who work there see the same bytes free, and take them too: only what a process may have is its own.
    """
    if torch.device(device).type != "cuda":
        return 1 << 62
    free, total = torch.cuda.mem_get_info()
    return int(min(free, total * torch.cuda.get_per_process_memory_fraction()) // 2)
