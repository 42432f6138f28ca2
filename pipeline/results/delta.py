"""``delta.parquet``: what the last change of the subset added to it and what it moved out, by uid.

It speaks of two states of a run directory, not of the job: neither the manifest nor a fingerprint knows of it, and
a run that reaches the same subset in one go has none.
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

Halves = npt.NDArray[np.uint64]

FILE = "delta.parquet"
ADDED, MOVED_OUT = "added", "moved_out"
SCHEMA = pa.schema([pa.field("uid", pa.string(), nullable=False), pa.field("change", pa.string())])


def note(root: str, former: str, spans: Iterable[Halves]) -> None:
    """Compare the subset file ``former``, which is about to be replaced, with the uids that will stand there.

    Nothing is written where they are the same: a run that was killed behind this finds its own subset. A former
    file that is damaged is no subset to compare with.
    """
    path = storage.join(root, FILE)
    try:
        with storage.open_read(former) as file:
            found = _tables(subset.changes(file, spans))
            first = next(found, None)
            if first is None:
                return
            with (
                storage.write_atomic(path) as out,
                pq.ParquetWriter(out, SCHEMA, compression="zstd") as writer,
            ):
                for table in chain([first], found):
                    writer.write_table(table)
    except (FileNotFoundError, ValueError):
        return


def _tables(changes: Iterable[tuple[Halves, Halves]]) -> Iterator[pa.Table]:
    for pair in changes:
        for uids, change in zip(pair, (ADDED, MOVED_OUT), strict=True):
            names = [f"{high:016x}{low:016x}" for high, low in uids.tolist()]
            if names:
                yield pa.table({"uid": names, "change": [change] * len(names)}, schema=SCHEMA)


def counts(root: str) -> dict[str, int]:
    """How many were added and moved out; empty where the subset has not changed since it was first written."""
    path = storage.join(root, FILE)
    if not storage.exists(path):
        return {}
    with storage.open_table(path) as raw:
        # ``pq.read_table`` reads in threads of Arrow's, and one that still holds the file when Python ends aborts it.
        change = pq.ParquetFile(raw).read(["change"], use_threads=False)["change"].to_numpy()
    return {name: int(np.count_nonzero(change == name)) for name in (ADDED, MOVED_OUT)}
