"""Comparison of the shards with the ledger: keys and uids of its kept rows, in order, and hashes of their pictures."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from io import BufferedReader
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.results.shards import shard_key, shard_name
from tamis.pipeline.results.sidecars import ours_in
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import require_content
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import part_files

Pair = tuple[str, str]
"""(key in the shard, uid); of a gap there is none."""


class ShardWalk:
    """Collects the keys and uids that each shard should have, part by part of the ledger, and compares full shards."""

    def __init__(self, run: FinishedRun, size: int) -> None:
        self._run, self._size = run, size
        self._outputs = {output.path for output in run.files.outputs}
        self._gapped = pa.array([step.name for step in run.steps if step.leaves_gaps], pa.string())
        self._pairs: list[Pair | None] = []
        self._shard = 0

    def add(self, table: pa.Table) -> Iterator[str]:
        """Add the next part of the ledger, and check the shard and key that it has for each row."""
        kept = np.asarray(table["kept"])
        placed = kept | np.asarray(pc.is_in(table["step"], self._gapped))
        start = self._shard * self._size + len(self._pairs)
        positions = (start + np.cumsum(placed) - 1)[kept]
        keys = [shard_key(*divmod(int(position), self._size), self._size) for position in positions]
        pairs = zip(keys, table["uid"].filter(pa.array(kept)).to_pylist(), strict=True)
        self._pairs += [next(pairs) if has else None for has in kept[placed].tolist()]
        wrong = np.asarray(pc.is_valid(table["shard"])) | np.asarray(
            pc.is_valid(table["shard_key"])
        )
        due = {"shard": pa.array(positions // self._size), "shard_key": pa.array(keys, pa.string())}
        same = [
            np.asarray(pc.fill_null(pc.equal(table[name].filter(pa.array(kept)), values), False))
            for name, values in due.items()
        ]
        wrong[kept] = ~np.logical_and(*same)
        if wrong.any():
            first = table["uid"][int(wrong.argmax())].as_py()
            yield (
                f"{counted(int(wrong.sum()), 'row')}: a wrong shard or shard_key (the first is {first})"
            )

    def faults(self) -> Iterator[tuple[str, str]]:
        """Errors of the shards that are now complete."""
        while len(self._pairs) >= self._size:
            yield from self._compare(self._pairs[: self._size])
            del self._pairs[: self._size]
            self._shard += 1

    def finish(self) -> Iterator[tuple[str, str]]:
        """Errors of the last shard, and shards that should not exist."""
        if self._pairs:
            yield from self._compare(self._pairs)
            self._shard += 1
        due = {shard_name(number) for number in range(self._shard)}
        for path in sorted(self._outputs):
            name = path.removeprefix("shards/").partition(".")[0].removesuffix("_stats")
            if path.startswith("shards/") and name not in due:
                yield path, "the ledger keeps no sample in it"

    def _compare(self, places: list[Pair | None]) -> Iterator[tuple[str, str]]:
        name = f"shards/{shard_name(self._shard)}"
        try:
            with storage.open_table(storage.join(self._run.root, f"{name}.parquet")) as raw:
                file = ParquetFile(raw)
                named = ours_in(file.schema_arrow)
                columns = [named[name] for name in ("key", "uid", "sha256")]
                side = file.read(columns)
            keys, uids, hashes = (side[column].to_pylist() for column in columns)
        except (*part_files.DAMAGE, KeyError) as error:
            require_content(error, name)
            yield f"{name}.parquet", f"cannot be read: {' '.join(str(error).split())}"
            return
        pairs = [pair for pair in places if pair is not None]
        if list(zip(keys, uids, strict=True)) != pairs:
            yield f"{name}.parquet", "has other keys and uids than the ledger's rows of this shard"
        if f"{name}.tar" in self._outputs:
            for what in self._tar(f"{name}.tar", dict(zip(keys, hashes, strict=True))):
                yield f"{name}.tar", what

    def _tar(self, path: str, hashes: dict[str, str | None]) -> Iterator[str]:
        """Compare the members of one tar with its sidecar: the same keys in order, each with its picture."""
        by_key: dict[str, set[str]] = {}
        try:
            with (
                storage.open_read(storage.join(self._run.root, path)) as raw,
                tarfile.open(fileobj=raw, mode="r|", bufsize=1 << 20) as tar,
            ):
                for info in tar:
                    digests = by_key.setdefault(info.name.partition(".")[0], set())
                    file = tar.extractfile(info)
                    if file is not None:
                        digests.add(
                            hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()
                        )
        except (OSError, tarfile.TarError) as error:
            yield f"cannot be read as a tar: {error}"
            return
        if list(by_key) != list(hashes):
            yield f"holds {counted(len(by_key), 'key')}, its parquet file {len(hashes):,}, or not the same in order"
        wrong = [key for key in by_key if (due := hashes.get(key)) and due not in by_key[key]]
        if wrong:
            yield f"{counted(len(wrong), 'key')} without the picture whose sha256 is recorded (the first is {wrong[0]})"
