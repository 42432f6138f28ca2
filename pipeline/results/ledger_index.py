"""``ledger_index/``: from a uid, key or URL to the samples that carry it, by reading a row group of one file.

An entry is (hash of the name, sid), sorted by both; each file holds an equal share of the hashes.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from tamis.pipeline.store import storage

FOLDER = "ledger_index"
ROWS = 1 << 16
"""Entries a row group."""

Hash = TypeVar("Hash", int, npt.NDArray[np.uint64])


def name_hash(name: str) -> int:
    """What the index is sorted by: xxh3-64 of a uid's hex digits, a key, or a URL."""
    return xxhash.xxh3_64_intdigest(name.encode())


def name_hashes(names: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """``name_hash`` of each of a column of names, none of them null."""
    raw = names.cast(pa.binary()).to_pylist()
    return np.fromiter(map(xxhash.xxh3_64_intdigest, raw), dtype=np.uint64, count=len(raw))


def bucket_of(hashed: Hash, buckets: int) -> Hash:
    """The file, of ``buckets``, that holds a hash: hashes in order, files in order."""
    if isinstance(hashed, int):
        return (hashed >> 32) * buckets >> 32
    return (hashed >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32)


def path_of(root: str, name: str, buckets: int) -> str:
    """Where a name is looked for."""
    return storage.join(root, FOLDER, f"{bucket_of(name_hash(name), buckets):05d}.parquet")


def find(root: str, name: str, buckets: int) -> list[int]:
    """The sids whose uid, key or URL hashes like ``name``, in order: candidates, for the ledger's rows to confirm."""
    hashed, path = name_hash(name), path_of(root, name, buckets)
    found: list[int] = []
    with storage.open_table(path) as raw, pq.ParquetFile(raw) as file:
        for number in range(file.metadata.num_row_groups):
            statistics = file.metadata.row_group(number).column(0).statistics
            if statistics is None or not statistics.min <= hashed <= statistics.max:
                continue  # an index without entries has a row group without statistics
            group = file.read_row_group(number, use_threads=False)
            # Not to_numpy(): it imports pandas where that is installed, which takes longer than all else here.
            hashes = np.from_dlpack(group["hash"].combine_chunks())
            first, last = (
                np.searchsorted(hashes, np.uint64(hashed), side) for side in ("left", "right")
            )
            found += group["sid"].slice(first, last - first).to_pylist()
    return sorted(set(found))  # a key may be its own URL
