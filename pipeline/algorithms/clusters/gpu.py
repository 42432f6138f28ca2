"""Products of k-means and of semantic duplicates by torch, on a GPU; imported only where a device is used.

A device has its name in torch: `cuda`, or `cpu`, where the tests run the same code. Results and the device:

- Labels do not depend on it. A matrix product finds the centroids that can be the nearest within its rounding error;
  where there are several, sums in a fixed order decide.
- Sums of members do not depend on it either, for the same labels. They are multiples of 2^-24, exact in float64:
  atomic additions in any order give the same bits.
- Semantic similarities depend on the kernels of one class of device. They differ from those of the CPU by rounding
  alone, and the shape of every product depends only on the cluster's size and the position in it.

Products are made in float32: `tamis.pipeline.host.devices.prepare` keeps torch from using TF32.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from tamis.pipeline.algorithms.arrays import Float32Array
from tamis.pipeline.algorithms.clusters import tiles

Sums = tuple[NDArray[np.float64], NDArray[np.int64], float]
"""Sums of members float64 (K, d), counts int64 (K,), mean product with the nearest centroid."""

PRODUCT_BYTES = 1 << 30
"""Bytes of products held at once: fewer products of more rows wait less. Of a GPU of 8 GB it is an eighth."""

MOST_ROWS = 1 << 15
"""Most rows whose products are held at once, however few the centroids."""

PAIRS = 1 << 18
"""Most pairs whose products are summed in the fixed order at once; PRODUCT_BYTES limits them too."""

ROUNDING = 2.0**-24
GRID = 2.0**24  # see kmeans.partial_sums


class Nearest:
    """Search for the nearest centroid on a device.

    Args:
        centroids: float32 (K, d).
        device: its name in torch.
    """

    def __init__(self, centroids: Float32Array, device: str) -> None:
        self.device = device
        self._centroids = _send(centroids, device)
        longest = float(self._centroids.square().sum(dim=1).max().sqrt())
        # Any order of d additions is off by at most d roundings of |x| |c| (Higham's gamma): products that differ by
        # more than twice that are in order. 64 more roundings cover the fixed order's sum and this bound's arithmetic.
        self._margin = 2 * (centroids.shape[1] + 64) * ROUNDING * longest
        self.rows_at_once = max(16, min(MOST_ROWS, PRODUCT_BYTES // (4 * len(centroids))))

    def labels(self, embeddings: NDArray[np.floating]) -> NDArray[np.int32]:
        """Number of the nearest centroid of each row, int32 (n,); any number for a row that is not finite.

        Args:
            embeddings: (n, d), float16 or float32.
        """
        labels = np.empty(len(embeddings), np.int32)
        for start in range(0, len(embeddings), self.rows_at_once):
            span = slice(start, start + self.rows_at_once)
            rows = _send(embeddings[span], self.device).float()
            labels[span] = self.search(rows)[0].cpu().numpy()
        return labels

    def search(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(label int64 (n,), product float32 (n,)) of float32 rows on the device, at most `rows_at_once`."""
        products = rows @ self._centroids.T
        best, label = products.max(dim=1)
        bound = best - self._margin * rows.square().sum(dim=1).sqrt()
        # A second possible centroid is rare: only for such rows are the products read again.
        products.scatter_(1, label[:, None], -torch.inf)
        close = torch.nonzero(products.amax(dim=1) >= bound)[:, 0]
        products.scatter_(1, label[:, None], torch.inf)
        # All rows can be close, as where all centroids are equal: they are taken in pieces.
        for piece in close.split(max(1, 16 * PAIRS // products.shape[1])):
            possible = products[piece] >= bound[piece][:, None]
            label[piece] = self._exact_labels(rows[piece], possible)
        return label, best

    def _exact_labels(self, rows: torch.Tensor, possible: torch.Tensor) -> torch.Tensor:
        """Nearest of each row's possible centroids, bool (n, K), by sums in the fixed order; the first of equals."""
        row, number = torch.nonzero(possible, as_tuple=True)
        most = max(1, min(PAIRS, PRODUCT_BYTES // (4 * rows.shape[1])))
        pairs = zip(row.split(most), number.split(most), strict=True)
        value = torch.cat([summed(rows[r] * self._centroids[n]) for r, n in pairs])
        best = torch.full((len(rows),), -torch.inf, device=rows.device)
        best.scatter_reduce_(0, row, value, "amax")
        number = torch.where(value == best[row], number, possible.shape[1] - 1)
        first = torch.full((len(rows),), possible.shape[1] - 1, device=rows.device)
        return first.scatter_reduce_(0, row, number, "amin")


def summed(products: torch.Tensor) -> torch.Tensor:
    """Sums of the rows of (n, d) in an order that is the same on every device: (n,).

    The second half of the columns is added to the first until one column is left; the last of an odd number is added
    to the first.
    """
    while (columns := products.shape[1]) > 1:
        half = columns // 2
        folded = products[:, :half] + products[:, half : 2 * half]
        if columns % 2:
            folded[:, 0] += products[:, -1]
        products = folded
    return products[:, 0]


class Sample:
    """Training sample of k-means on a device; a sample that does not fit is sent there block by block each time.

    Args:
        rows: float32 (n, d).
        device: its name in torch.
        room: bytes of the device that it may take; None: half of those that are available.
    """

    def __init__(self, rows: Float32Array, device: str, room: int | None = None) -> None:
        self._rows, self._device = rows, device
        room = _default_room(device) if room is None else room
        self._copy = _send(rows, device) if rows.nbytes <= room else None

    def sums(self, centroids: Float32Array) -> Sums:
        """Assign all rows to their nearest centroids: sums and counts as by `kmeans.partial_sums`, mean product."""
        nearest = Nearest(centroids, self._device)
        total = torch.zeros(centroids.shape, dtype=torch.float64, device=self._device)
        counts = torch.zeros(len(centroids), dtype=torch.int64, device=self._device)
        similarity = torch.zeros((), dtype=torch.float64, device=self._device)
        for start in range(0, len(self._rows), nearest.rows_at_once):
            span = slice(start, start + nearest.rows_at_once)
            rows = _send(self._rows[span], self._device) if self._copy is None else self._copy[span]
            label, best = nearest.search(rows)
            total.index_add_(0, label, (rows * GRID).round_().double())
            counts.index_add_(0, label, torch.ones_like(label))
            similarity += best.double().sum()
        mean = float(similarity) / max(1, len(self._rows))
        return (total / GRID).cpu().numpy(), counts.cpu().numpy(), mean


class _Pieces:
    """Embeddings of a cluster on a device, `tiles.piece(n)` positions at a time; as many as fit stay there."""

    def __init__(
        self, fetch: tiles.Fetch, n: int, dimensions: int, device: str, room: int | None
    ) -> None:
        self._fetch, self._n, self._device = fetch, n, device
        self._size = tiles.piece(n)
        room = _default_room(device) if room is None else room
        self._capacity = room // (4 * self._size * dimensions)
        self._kept: dict[int, torch.Tensor] = {}

    def at(self, first: int) -> torch.Tensor:
        """Float32 embeddings of unit norm of the piece that starts at position `first`.

        Raises:
            ValueError: an embedding is not finite.
        """
        if first in self._kept:
            return self._kept[first]
        rows = _send(self._fetch(first, min(first + self._size, self._n)), self._device).float()
        bad = torch.nonzero(~torch.isfinite(rows).all(dim=1))
        if len(bad):
            raise ValueError(tiles.not_finite(first + int(bad[0, 0])))
        length = rows.square().sum(dim=1, keepdim=True).sqrt()
        rows = torch.where(length > 0, rows / length, rows)
        # The first pieces are compared with most of the others: those stay.
        if len(self._kept) < self._capacity:
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
    """Blocks of `semantic.max_similarity_blocks`, computed on a device.

    Args:
        fetch: as there.
        n: as there.
        dimensions: as there.
        device: its name in torch.
        span: (start, stop), positions to compute.
        room: bytes of the device that embeddings may take, as for `Sample`; the others are fetched anew.
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
            in_tile = slice(top, top + tile)
            products = rows[in_tile] @ rows[: top + tile].T
            # On the diagonal a position is compared with earlier ones only.
            products[:, top:].masked_fill_(later, -torch.inf)
            _keep_better(best[in_tile], partner[in_tile], products, first)
        alone = best < 0
        best[alone] = 0
        partner[alone] = alone.nonzero()[:, 0] + first
        count = last - first
        # Rounding may lift a product of two unit vectors above 1.
        yield first, best[:count].clamp(max=1).cpu().numpy(), partner[:count].cpu().numpy()


def _keep_better(
    best: torch.Tensor, partner: torch.Tensor, products: torch.Tensor, column: int
) -> None:
    """Update best and partner in place with greater `products`, whose columns are the positions from `column` on."""
    value, position = products.max(dim=1)  # of equal values the first, as torch documents
    # Columns come in order, so an equal value later on is not the earliest.
    better = value > best
    torch.where(better, value, best, out=best)
    torch.where(better, position + column, partner, out=partner)


def _send(rows: NDArray[np.floating], device: str) -> torch.Tensor:
    """Rows sent to a device, float16 as such, any other dtype as float32."""
    dtype = np.float16 if rows.dtype == np.float16 else np.float32
    # Torch takes no read-only array.
    return torch.from_numpy(np.require(rows, dtype, ["C", "W"])).to(device)


def _default_room(device: str) -> int:
    """Bytes that embeddings may take: half of those free on a GPU or, if fewer, of this process's limit there.

    Other processes on the GPU see the same bytes free and take them too: only a process's own limit is safe.
    """
    if torch.device(device).type != "cuda":
        return 1 << 62
    free, total = torch.cuda.mem_get_info()
    return int(min(free, total * torch.cuda.get_per_process_memory_fraction()) // 2)
