"""Counts of buckets, the tasks that share out rows of many parts; for steps and for forecasts."""

from __future__ import annotations

from dataclasses import dataclass

BUCKET_ROWS = 10_000_000
"""Rows a bucket task, about."""

TEXTS = 1_000_000
"""Captions a bucket, about (a tenth of it where embeddings travel along)."""

LEAST = 8
"""Buckets of smaller runs, so that all processors have some."""

RECORDS = 4_000_000
"""Keys a bucket that holds several bands, about."""

KEYS = 10_000_000
"""Keys a bucket that holds one band or a share of it, about; some 50 bytes each."""

MEETINGS = 4_000_000
"""Captions that met another a bucket, each counted in every group, about; 32 bytes each."""

CANDIDATES = 1_000_000
"""Candidates, counted in every group, a task, about (a tenth of it where embeddings travel along); 1 kB each."""

HASHES = 2_000_000
"""Perceptual hashes a task, about; 300 bytes each, with the layouts."""

PAIRS = 1 << 14
"""Pairs of pictures that a task compares by their details, about; up to 3.6 kB of each of the two."""

VECTOR_BYTES = 256 << 20
"""Bytes of embeddings a bucket task, about."""

INDEX_ENTRIES = 30_000_000
"""Entries a file of the ledger's index, about; three a sample."""

ROWS_PER_CLUSTER = 16
"""Samples that a task sums for each cluster, at least: then its sums are a quarter of the embeddings it reads."""


def buckets_for(rows: int, each: int = BUCKET_ROWS) -> int:
    """Buckets of ``rows`` rows, with ``each`` in one."""
    return 1 + rows // each


def of_captions(samples: int, vectors: bool) -> int:
    """Buckets of samples by their captions; ``vectors``: whether embeddings travel along."""
    each = TEXTS // 10 if vectors else TEXTS
    return 1 + max(samples // each, min(LEAST - 1, samples * LEAST // each))


@dataclass(frozen=True)
class Bands:
    """The sharing out of records: ``each`` bands a bucket, or each band over several buckets by its keys."""

    count: int
    each: int
    parts: int

    @classmethod
    def of(cls, samples: int, bands: int) -> Bands:
        """Buckets of about RECORDS or KEYS keys."""
        each = max(1, min(bands, RECORDS // max(1, samples)))
        return cls(bands, each, buckets_for(samples, KEYS))

    @property
    def buckets(self) -> int:
        """Count of all buckets."""
        return -(-self.count // self.each) * self.parts


def of_meetings(met: int) -> int:
    """Buckets of captions that met another, by their groups."""
    return max(buckets_for(met, MEETINGS), 2 if met > MEETINGS // LEAST else 1)


def of_candidates(candidates: int, vectors: bool) -> int:
    """Buckets of candidate captions, by their groups."""
    each = CANDIDATES // 10 if vectors else CANDIDATES
    return max(buckets_for(candidates, each), 2 if candidates > each // LEAST else 1)


def of_hashes(hashes: int) -> int:
    """Buckets of samples by their perceptual hashes."""
    return buckets_for(hashes, HASHES)


def of_pairs(pairs: int) -> int:
    """Buckets of pairs of pictures whose details are compared."""
    return buckets_for(pairs, PAIRS)


def of_clusters(samples: int, dim: int, clusters: int) -> int:
    """Buckets of embeddings; each cluster lies in one."""
    return min(clusters, max(LEAST, buckets_for(samples * dim * 2, VECTOR_BYTES)))


def of_index(samples: int) -> int:
    """Files of the ledger's index."""
    return buckets_for(3 * samples, INDEX_ENTRIES)


def of_parts(samples: int, part_samples: int, clusters: int) -> int:
    """Groups of consecutive parts, each with ROWS_PER_CLUSTER or more; parts are taken to be full."""
    together = -(-ROWS_PER_CLUSTER * clusters // part_samples)
    return -(-samples // (part_samples * together))
