"""Comparison of the shards with the ledger: keys and uids of its kept rows, in order, and hashes of their pictures."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.results.shards import shard_key, shard_name
from tamis.pipeline.results.sidecars import ours_in
from tamis.pipeline.steps.shared.tiers import tiering
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import require_content
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import part_files

Pair = tuple[str, str]
"""(key in the shard, uid); of a gap there is none."""


@dataclass
class _Open:
    """The shard of a tier that is not complete yet: its number, and what stands in it so far; None for a gap."""

    shard: int = 0
    places: list[Pair | None] = field(default_factory=list)


class ShardWalk:
    """Collects the keys and uids that each shard should have, part by part of the ledger, and compares full shards."""

    def __init__(self, run: FinishedRun, size: int) -> None:
        self._run, self._size = run, size
        self._outputs = {output.path for output in run.files.outputs}
        self._gapped = pa.array([step.name for step in run.steps if step.leaves_gaps], pa.string())
        self._tiering = tiering(run.steps)
        tiers = self._tiering.each if self._tiering is not None else (None,)
        self._open = {tier: _Open() for tier in tiers}

    @property
    def columns(self) -> list[str]:
        """Columns of the ledger that it needs beside those of every recount."""
        return [] if self._tiering is None else [self._tiering.signal]

    def add(self, table: pa.Table) -> Iterator[str]:
        """Add the next part of the ledger, and check the shard and key that it has for each row."""
        kept = np.asarray(table["kept"])
        placed = kept | np.asarray(pc.is_in(table["step"], self._gapped))
        due_shard = np.full(len(kept), -1, np.int64)
        due_key = np.full(len(kept), None, dtype=object)
        uids = table["uid"].to_pylist()
        for tier, members in self._members(table):
            here = np.flatnonzero(placed & members)
            opened = self._open[tier]
            at = opened.shard * self._size + len(opened.places) + np.arange(len(here))
            due_shard[here] = at // self._size
            due_key[here] = [
                shard_key(*divmod(place, self._size), self._size, tier) for place in at.tolist()
            ]
            opened.places += [
                (due_key[row], uids[row]) if kept[row] else None for row in here.tolist()
            ]
        due = {
            "shard": pa.array(due_shard, pa.int32(), mask=~kept),
            "shard_key": pa.array(due_key, pa.string(), mask=~kept),
        }
        wrong = np.zeros(len(kept), dtype=bool)
        for name, values in due.items():
            same = pc.fill_null(pc.equal(table[name], values), False)
            nothing = pc.and_(pc.is_null(table[name]), pc.is_null(values))
            wrong |= ~np.asarray(pc.or_(same, nothing))
        if wrong.any():
            first = table["uid"][int(wrong.argmax())].as_py()
            yield (
                f"{counted(int(wrong.sum()), 'row')}: a wrong shard or shard_key (the first is {first})"
            )

    def _members(self, table: pa.Table) -> Iterator[tuple[str | None, npt.NDArray[np.bool_]]]:
        """The tiers that have shards of their own, and the rows of each."""
        if self._tiering is None:
            yield None, np.ones(table.num_rows, dtype=bool)
            return
        for tier in self._tiering.each:
            yield tier, self._tiering.members(tier, table[self._tiering.signal])

    def faults(self) -> Iterator[tuple[str, str]]:
        """Errors of the shards that are now complete."""
        for tier, opened in self._open.items():
            while len(opened.places) >= self._size:
                yield from self._compare(tier, opened.shard, opened.places[: self._size])
                del opened.places[: self._size]
                opened.shard += 1

    def finish(self) -> Iterator[tuple[str, str]]:
        """Errors of the last shards, and shards that should not exist."""
        due = set()
        for tier, opened in self._open.items():
            if opened.places:
                yield from self._compare(tier, opened.shard, opened.places)
                opened.shard += 1
            due |= {shard_name(number, tier) for number in range(opened.shard)}
        for path in sorted(self._outputs):
            name = path.removeprefix("shards/").partition(".")[0].removesuffix("_stats")
            if path.startswith("shards/") and name not in due:
                yield path, "the ledger keeps no sample in it"

    def _compare(
        self, tier: str | None, shard: int, places: list[Pair | None]
    ) -> Iterator[tuple[str, str]]:
        name = f"shards/{shard_name(shard, tier)}"
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
