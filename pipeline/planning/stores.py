"""What a run asks of disks, stores and workers, from its sizes alone: bytes of tables, requests, memory of a task."""

from __future__ import annotations

from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.steps.shared.bucket_counts import BUCKET_ROWS, TEXTS, VECTOR_BYTES
from tamis.pipeline.steps.write.step import SUBSET_BUCKET
from tamis.schemas.job import Job

TABLE_BYTES = {
    "exact_duplicates": 46,
    "near_duplicates": 1060,
    "near_pictures": 470,
    "rules": 8,
    "signals": 15,
}
"""Step -> bytes of its tables a sample that reaches it; measured, as those below, over 7,396 pairs of clip art, where a
third of the captions have a near duplicate. Keys of bands are counted as over many more, where each lies in a bucket of
its own.
"""

OTHER_BYTES = 35
EVERY_BYTES = 249 + 153
"""Of ingest and of the ledger."""

SLICES = 6
"""Pieces of files that each step reads for each part, about: counted by ``tests/simulate.py``."""

DOLLARS_A_PUT, DOLLARS_A_GET = 5e-6, 0.4e-6
"""Prices of requests to a store, as most ask."""


def table_bytes(job: Job, samples: int, dim: int) -> int:
    """Bytes of the tables of a run, at most: as if every sample reached every step.

    ``dim``: of the widest embedding; its vectors are two sides of float16, and clustering has one of them once more.
    """
    each = EVERY_BYTES
    for config in job.steps:
        vectors = 2 * dim if isinstance(config, Clustered) and config.compares_members else 0
        each += TABLE_BYTES.get(config.kind, OTHER_BYTES) + vectors
    return samples * (each + 4 * dim * len(job.embeds))


def requests(parts: int, steps: int, tasks: int) -> tuple[int, int]:
    """PUTs and GETs of the tasks: one of the first for each, and two of the others for each piece that one reads."""
    return tasks, 2 * SLICES * steps * parts


def request_dollars(puts: int, gets: int) -> float:
    """What these cost."""
    return puts * DOLLARS_A_PUT + gets * DOLLARS_A_GET


def task_memory(job: Job, samples: int, dim: int) -> int:
    """Bytes of the task that holds the most, beside any model: a bucket that is sorted, or the sample of a training."""
    held = [48 * min(samples, SUBSET_BUCKET), 96 * min(samples, BUCKET_ROWS)]
    for config in job.steps:
        if config.edge_phases:
            held.append(800 * min(samples, TEXTS))
        if isinstance(config, Clustered):
            held += [
                2 * min(4 * dim * samples, config.sample_bytes),
                4 * min(2 * dim * samples, 2 * VECTOR_BYTES),
            ]
    return max(held)
