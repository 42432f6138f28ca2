"""Bounds that are tried on a finished run, over stored signals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa

from tamis.pipeline.steps.rules.bounds import failures
from tamis.pipeline.steps.rules.config import Rules as Config
from tamis.pipeline.steps.rules.step import check_bound
from tamis.pipeline.steps.shared.again import Again
from tamis.pipeline.tables.columns import scatter
from tamis.pipeline.tasks.chunks import Chunk


def decide(again: Again, config: Config) -> Iterator[Counter[str]]:
    """Counts by reason, of each chunk."""
    return again.each(partial(_of_chunk, again, config))


def _of_chunk(again: Again, config: Config, chunk: Chunk) -> Counter[str]:
    """A row's reason is the first bound, in the job's order, that it fails."""
    alive = np.flatnonzero(again.living(chunk))
    gone = np.zeros(len(alive), np.bool_)
    dropped: Counter[str] = Counter()
    for name, bound in config.bounds.items():
        rows, stored = again.signal(chunk, name)
        column = scatter(pa.table({name: stored, "row": pa.array(rows)}), chunk.rows)[name]
        values = column.take(pa.array(alive))
        check_bound(config.name, name, bound, pa.types.is_string(values.type))
        for reason, fails in failures(values, bound).items():
            here = fails & ~gone
            dropped += again.drop(config.name, reason, chunk.start + alive[here])
            gone |= here
    return dropped
