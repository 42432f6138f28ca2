"""Shards as img2dataset lays them out: ``00000.tar``, ``00000.parquet`` beside it, ``00000_stats.json`` last.

The tar is as webdataset's own writer makes it: USTAR, names fixed, no time and no owner in it, members byte for byte.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.inputs.formats import Buffer, Sample
from tamis.pipeline.inputs.tar import tar_header
from tamis.pipeline.store.digesting import Writable

_WRITE_BYTES = 4 << 20
"""Members get their headers and are written together, at least so much at a time."""

_LARGE_BYTES = 1 << 15
"""A member of this size is written from where it lies: to copy it takes longer than a call."""

_PADDING = [bytes(-size % tar_header.BLOCK) for size in range(tar_header.BLOCK)]
"""By the size of what it follows, modulo a block."""

SIDECAR = pa.schema(
    [
        ("url", pa.string()),
        ("caption", pa.large_string()),
        ("key", pa.string()),
        ("status", pa.string()),
        ("error_message", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("original_width", pa.int32()),
        ("original_height", pa.int32()),
        ("exif", pa.string()),
        ("sha256", pa.string()),
        ("uid", pa.string()),
        ("source", pa.string()),
        ("source_key", pa.string()),
    ]
)
"""img2dataset's columns, and where the sample came from."""


def shard_name(shard: int) -> str:
    """Five digits at least."""
    return f"{shard:05d}"


def shard_key(shard: int, place: int, samples_per_shard: int) -> str:
    """The key of a sample: shard and place in it, unique over all shards."""
    return f"{shard:05d}{place:0{_digits(samples_per_shard)}d}"


@cache
def _digits(samples_per_shard: int) -> int:
    return max(4, len(str(samples_per_shard - 1)))


class ShardWriter:
    """One tar, written to a file that is already open; its bytes depend on its members alone.

    They are those of webdataset's ``TarWriter``. With that the step takes three times as long over small members and
    more, for an object, a check and a copy of each, and importing it imports torch.
    """

    def __init__(self, file: Writable) -> None:
        self._file = file
        self._names: list[str] = []
        self._data: list[Buffer] = []
        self._size = self._written = 0

    def add(self, key: str, sample: Sample) -> None:
        """The members of a sample, in the order of their suffixes."""
        for suffix, data in sorted(sample, key=itemgetter(0)):
            self._names.append(f"{key}.{suffix}")
            self._data.append(data)
            self._size += tar_header.BLOCK + len(data)
        if self._size >= _WRITE_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the end mark: two empty blocks, and as many more as fill a record."""
        self._flush()
        end = self._written + 2 * tar_header.BLOCK
        self._file.write(bytes(2 * tar_header.BLOCK + -end % tarfile.RECORDSIZE))

    def _flush(self) -> None:
        sizes = np.fromiter(map(len, self._data), dtype=np.int64, count=len(self._data))
        pieces: list[Buffer] = [b""] * (3 * len(sizes))
        pieces[::3] = tar_header.plain(self._names, sizes)
        pieces[1::3] = self._data
        pieces[2::3] = map(_PADDING.__getitem__, (sizes % tar_header.BLOCK).tolist())
        done = 0
        for place in (3 * np.flatnonzero(sizes >= _LARGE_BYTES) + 1).tolist():
            self._write(b"".join(pieces[done:place]))
            self._write(pieces[place])
            done = place + 1
        self._write(b"".join(pieces[done:]))
        self._names.clear()
        self._data.clear()
        self._size = 0

    def _write(self, data: Buffer) -> None:
        self._written += self._file.write(data)


def sidecar(
    columns: Mapping[str, Sequence[Any] | pa.Array | pa.ChunkedArray], rows: int
) -> pa.Table:
    """SIDECAR from the columns that are known; status is "success", since what failed is in the ledger."""
    known = {"status": ["success"] * rows, **columns}
    arrays = []
    for field in SIDECAR:
        values = known.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
        elif isinstance(values, pa.Array | pa.ChunkedArray):
            arrays.append(values.cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=SIDECAR)


def statistics(samples: int, size: int) -> bytes:
    """The shard's ``_stats.json``: img2dataset's counts, and bytes; no times."""
    counts = {
        "count": samples,
        "successes": samples,
        "failed_to_download": 0,
        "failed_to_resize": 0,
        "bytes": size,
        "status_dict": {"success": samples},
    }
    return (json.dumps(counts, indent=1) + "\n").encode()
