"""Into how many tasks the rows are dealt that many parts have written: what steps do, and forecasts foresee."""

from __future__ import annotations

from dataclasses import dataclass

BUCKET_ROWS = 10_000_000
"""Rows that a bucket task holds, about."""

TEXTS = 1_000_000
"""Captions that a bucket holds, about (a tenth of it where embeddings travel along)."""

LEAST = 8
"""Buckets that smaller runs are cut into, so that all processors have some."""

RECORDS = 4_000_000
"""Keys that a bucket of bands holds, about, with 20 bytes for each caption."""

CANDIDATES = 4_000_000
"""Candidates, counted in every band, that one task compares, about (a tenth of it where embeddings travel along)."""

HASHES = 4_000_000
"""Perceptual hashes that a task holds, about; 100 bytes each."""

VECTOR_BYTES = 256 << 20
"""Embeddings that a bucket task holds, about."""

INDEX_ENTRIES = 30_000_000
"""Entries a file of the ledger's index, about; three a sample."""

ROWS_PER_CLUSTER = 16
"""Samples that a task sums for each cluster, at least: then its sums are a quarter of the embeddings it reads."""


def buckets_for(rows: int, each: int = BUCKET_ROWS) -> int:
    """How many buckets ``rows`` make."""
    return 1 + rows // each


def of_captions(samples: int, vectors: bool) -> int:
    """Of samples by their captions; ``vectors``: whether embeddings travel along."""
    each = TEXTS // 10 if vectors else TEXTS
    return 1 + max(samples // each, min(LEAST - 1, samples * LEAST // each))


@dataclass(frozen=True)
class Bands:
    """How records are shared out: ``each`` bands a bucket, or each band over several by its keys."""

    count: int
    each: int
    parts: int

    @classmethod
    def of(cls, samples: int, bands: int) -> Bands:
        """Buckets of about RECORDS."""
        each = max(1, min(bands, RECORDS // max(1, samples)))
        return cls(bands, each, buckets_for(samples, RECORDS))

    @property
    def buckets(self) -> int:
        """All of them."""
        return -(-self.count // self.each) * self.parts


def of_candidates(candidates: int, vectors: bool) -> int:
    """Of captions that may be alike, by their groups."""
    each = CANDIDATES // 10 if vectors else CANDIDATES
    return max(buckets_for(candidates, each), 2 if candidates > each // LEAST else 1)


def of_hashes(hashes: int) -> int:
    """Of samples by their perceptual hashes."""
    return buckets_for(hashes, HASHES)


def of_clusters(samples: int, dim: int, clusters: int) -> int:
    """Of embeddings by their clusters, each of which lies in one bucket."""
    return min(clusters, max(LEAST, buckets_for(samples * dim * 2, VECTOR_BYTES)))


def of_index(samples: int) -> int:
    """Of the ledger's index."""
    return buckets_for(3 * samples, INDEX_ENTRIES)


def of_parts(samples: int, part_samples: int, clusters: int) -> int:
    """Groups of consecutive parts, each with ROWS_PER_CLUSTER or more; parts are taken to be full."""
    together = -(-ROWS_PER_CLUSTER * clusters // part_samples)
    return -(-samples // (part_samples * together))
