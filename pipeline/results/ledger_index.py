"""``ledger_index/``: an index from uids, keys and URLs to samples; a look-up reads a row group or two of one file.

An entry is (hash of the name, sid), sorted by both; each file holds an equal share of the hashes.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from tamis.pipeline.store import storage
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables.columns import numbers

FOLDER = "ledger_index"
ROWS = 1 << 16
"""Entries of a row group."""

Hash = TypeVar("Hash", int, npt.NDArray[np.uint64])


def name_hash(name: str) -> int:
    """The index's sort key: xxh3-64 of a uid's hex digits, a key, or a URL."""
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))


def name_hashes(names: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """``name_hash`` of every name in a column without nulls, uint64 (n,)."""
    raw = names.cast(pa.binary()).to_pylist()
    return np.fromiter(map(xxhash.xxh3_64_intdigest, raw), dtype=np.uint64, count=len(raw))


def bucket_of(key: Hash, buckets: int) -> Hash:
    """Number of the file that has a hash, of ``buckets`` files in the order of their hashes."""
    if isinstance(key, int):
        return (key >> 32) * buckets >> 32
    return (key >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32)


def path_of(root: str, name: str, buckets: int) -> str:
    """Path of the file that has the entries of a name."""
    return storage.join(root, FOLDER, f"{bucket_of(name_hash(name), buckets):05d}.parquet")


def find(root: str, name: str, buckets: int) -> list[int]:
    """The sids whose uid, key or URL has the hash of ``name``, in order: candidates, which the ledger confirms."""
    key, path = name_hash(name), path_of(root, name, buckets)
    sids: list[int] = []
    with storage.open_table(path) as raw, ParquetFile(raw) as file:
        for number in range(file.metadata.num_row_groups):
            statistics = file.metadata.row_group(number).column(0).statistics
            if statistics is None or not statistics.min <= key <= statistics.max:
                continue  # an index without entries has a row group without statistics
            group = file.read_row_group(number)
            hashes = numbers(group["hash"])
            first, last = (
                np.searchsorted(hashes, np.uint64(key), side) for side in ("left", "right")
            )
            sids += group["sid"].slice(first, last - first).to_pylist()
    return sorted(set(sids))  # a key may be its own URL
