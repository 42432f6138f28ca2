"""Shards in img2dataset's layout: ``00000.tar``, ``00000.parquet`` beside it (``sidecars``), ``00000_stats.json`` last.

The tar equals that of webdataset's own writer: USTAR, fixed names, no time, no owner, members byte for byte.
"""

from __future__ import annotations

import json
import tarfile
from functools import cache
from operator import itemgetter

import numpy as np

from tamis.pipeline.inputs.formats import Buffer, Sample
from tamis.pipeline.inputs.tar import tar_header
from tamis.pipeline.store.digesting import WritesMany

_WRITE_BYTES = 4 << 20
"""Bytes of members and headers from which they are written together."""

_LARGE_BYTES = 1 << 15
"""Bytes of a member from which it is written without a copy, which would take longer than a call."""

_PADDING = [bytes(-size % tar_header.BLOCK) for size in range(tar_header.BLOCK)]
"""Padding behind a member, by its size modulo a block."""


NAME = r"([A-Za-z0-9_-]+-)?\d{5,}"
"""What ``shard_name`` returns, as a pattern."""


def shard_name(shard: int, tier: str | None = None) -> str:
    """Name of a shard: its number, in five digits at least, behind the tier that has shards of its own."""
    return f"{shard:05d}" if tier is None else f"{tier}-{shard:05d}"


def shard_key(shard: int, position: int, samples_per_shard: int, tier: str | None = None) -> str:
    """The key of a sample, unique over all shards: its shard and its position there."""
    return f"{shard_name(shard, tier)}{position:0{_digits(samples_per_shard)}d}"


@cache
def _digits(samples_per_shard: int) -> int:
    return max(4, len(str(samples_per_shard - 1)))


class ShardWriter:
    """A writer of one tar to an open file; the bytes depend on the members alone.

    They equal those of webdataset's ``TarWriter``, which takes three times as long or more over small members (an
    object, a check and a copy of each), and imports torch.
    """

    def __init__(self, file: WritesMany) -> None:
        self._file = file
        self._names: list[str] = []
        self._data: list[Buffer] = []
        self._size = self._written = 0

    def add(self, key: str, sample: Sample) -> None:
        """Add the members of a sample, in the order of their suffixes."""
        for suffix, data in sorted(sample, key=itemgetter(0)):
            self._names.append(f"{key}.{suffix}")
            self._data.append(data)
            self._size += tar_header.BLOCK + len(data)
        if self._size >= _WRITE_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the end mark: two empty blocks, and more up to a full record."""
        self._flush()
        end = self._written + 2 * tar_header.BLOCK
        self._file.write(bytes(2 * tar_header.BLOCK + -end % tarfile.RECORDSIZE))

    def _flush(self) -> None:
        sizes = np.fromiter(map(len, self._data), dtype=np.int64, count=len(self._data))
        pieces: list[Buffer] = [b""] * (3 * len(sizes))
        pieces[::3] = tar_header.plain(self._names, sizes)
        pieces[1::3] = self._data
        pieces[2::3] = map(_PADDING.__getitem__, (sizes % tar_header.BLOCK).tolist())
        start, joined = 0, list[Buffer]()
        for large in (3 * np.flatnonzero(sizes >= _LARGE_BYTES) + 1).tolist():
            joined += [b"".join(pieces[start:large]), pieces[large]]
            start = large + 1
        joined.append(b"".join(pieces[start:]))
        self._file.writelines(joined)
        self._written += sum(map(len, joined))
        self._names.clear()
        self._data.clear()
        self._size = 0


def statistics(samples: int, pictures: int, size: int) -> bytes:
    """Bytes of a shard's ``_stats.json``: img2dataset's counts and the size in bytes, without times.

    A success is a sample whose picture is in the shard; what failed is no sample of it, but in the ledger.
    """
    counts = {
        "count": samples,
        "successes": pictures,
        "failed_to_download": 0,
        "failed_to_resize": 0,
        "bytes": size,
        "status_dict": {"success": pictures} if pictures else {},
    }
    return (json.dumps(counts, indent=1) + "\n").encode()
