"""``delta.parquet``: the uids that the last change of the subset added and moved out.

It compares two states of a run directory and does not depend on the job alone, so neither the manifest nor a
fingerprint includes it: a run that reaches the same subset at once has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.results import subset
from tamis.pipeline.store import storage
from tamis.pipeline.store.parquet import ParquetFile

Uids = npt.NDArray[np.uint64]
"""(n, 2): the high and the low 64 bits of uids."""

FILE = "delta.parquet"
ADDED, MOVED_OUT = "added", "moved_out"
SCHEMA = pa.schema([pa.field("uid", pa.string(), nullable=False), pa.field("change", pa.string())])


def write(root: str, former: str, spans: Iterable[Uids]) -> None:
    """Write the differences between the subset file ``former`` and the uids that are about to replace it.

    ``spans`` are as for ``subset.write``. Equal subsets write nothing: a run that was killed after the replacement
    compares its subset with itself. Neither does a missing or damaged ``former``.
    """
    path = storage.join(root, FILE)
    try:
        with storage.open_read(former) as file:
            tables = _tables(subset.changes(file, spans))
            first = next(tables, None)
            if first is None:
                return
            with (
                storage.write_atomic(path) as out,
                pq.ParquetWriter(out, SCHEMA, compression="zstd") as writer,
            ):
                for table in chain([first], tables):
                    writer.write_table(table)
    except (FileNotFoundError, ValueError):
        return


def _tables(changes: Iterable[tuple[Uids, Uids]]) -> Iterator[pa.Table]:
    for pair in changes:
        for uids, change in zip(pair, (ADDED, MOVED_OUT), strict=True):
            names = [f"{high:016x}{low:016x}" for high, low in uids.tolist()]
            if names:
                yield pa.table({"uid": names, "change": [change] * len(names)}, schema=SCHEMA)


def counts(root: str) -> dict[str, int]:
    """Numbers of added and moved out uids; empty if the subset has not changed since it was first written."""
    path = storage.join(root, FILE)
    if not storage.exists(path):
        return {}
    with storage.open_table(path) as raw:
        change = ParquetFile(raw).read(["change"])["change"].to_numpy()
    return {name: int(np.count_nonzero(change == name)) for name in (ADDED, MOVED_OUT)}
