"""Containment of inputs in each other: the keys of all samples that ingest read, counted bucket by bucket.

Keys are spilled to a scratch directory by their leading bits, so that memory holds a bucket of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tamis.pipeline.algorithms import containment
from tamis.pipeline.algorithms.containment import Counts
from tamis.pipeline.audit.reading.finished_run import FinishedRun, sound
from tamis.pipeline.steps.exclude.entries import stored_key
from tamis.pipeline.store import storage
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks.parts import Parts
from tamis.schemas.errors import InputError, JobError, StateError
from tamis.schemas.scope import Scope

By = Literal["source", "entry", "run"]
On = Literal["sha256", "pixels", "url", "caption", "uid"]

COLUMNS: dict[On, str] = {
    "sha256": "sha256",
    "pixels": "pixels",
    "url": "url",
    "caption": "text",
    "uid": "uid",
}
"""What is compared -> its column of the table of ingest."""

IN_MEMORY = 8_000_000
"""Keys in memory, at most: 20 bytes each, and as many again while they are sorted."""

BUCKETS = 64
"""Files of a spill."""

RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("of", "<i4")])

Records = npt.NDArray[np.void]


@dataclass(frozen=True)
class Pair:
    """Keys of set ``a`` that stand in set ``b``; ``low`` and ``high``: the 95% interval of their share."""

    a: int
    b: int
    shared: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Containment:
    """Sets of samples, by number: their names, bytes, and counts of distinct keys; how they stand in each other.

    ``without``: samples of each that have no key, or that ingest could not read: nobody can say where else they stand.
    """

    names: list[str]
    bytes: list[int]
    without: list[int]
    counts: Counts
    sample: float  # share of the keys that were counted

    def pairs(self) -> list[Pair]:
        """The pairs that share a key, both ways, the largest share first."""
        counts = self.counts
        a, b = np.nonzero(counts.shared)
        one, other = np.concatenate([a, b]), np.concatenate([b, a])
        shared = np.tile(counts.shared[a, b], 2)
        share = shared / counts.size[one]
        low, high = (share, share)
        if self.sample < 1:
            low, high = containment.interval(shared, counts.size[one])
        order = np.lexsort((other, one, -share))
        columns = [column[order].tolist() for column in (one, other, shared, share, low, high)]
        return [Pair(*row) for row in zip(*columns, strict=True)]

    def contained(self) -> list[tuple[int, int]]:
        """(set, set that has all of its keys) for each set that could go; by a sample: that may.

        A set with samples that are not compared is none of them.
        """
        return containment.contained(self.counts, np.array(self.without) > 0)

    def all_but(self) -> list[tuple[int, int]]:
        """The same for the sets that only samples that are not compared keep from it."""
        could = set(self.contained())
        found = containment.contained(self.counts)
        return [
            (one, other) for one, other in found if self.without[one] and (one, other) not in could
        ]


@dataclass(frozen=True)
class Ingested:
    """Input files that have been read, and the set that each of them belongs to."""

    root: str  # of the tables of ingest
    parts: Parts
    sets: Sequence[str]  # by file
    bytes: Sequence[int]
    lost: str  # the error where a table is missing


def of_runs(runs: Sequence[FinishedRun], by: By) -> list[Ingested]:
    """The inputs of finished runs, in sets: input files, entries of the input, or runs.

    Raises:
        JobError: a run is named twice.
    """
    roots = [run.root for run in runs]
    twice = next((root for root in roots if roots.count(root) > 1), None)
    if twice is not None:
        raise JobError(f"{storage.redact(twice)}: is named twice: it would stand in itself")
    return [
        Ingested(
            run.root,
            run.parts,
            [_name(run, record.source, by, len(runs) > 1) for record in run.files.inputs],
            [record.bytes for record in run.files.inputs],
            f"{run.root}: tables/, which has what is compared, has been cleared: bring it back, or run the job again",
        )
        for run in runs
    ]


def compare(given: Sequence[Ingested], on: On, sample: float = 1.0) -> Containment:
    """Count the keys of all samples that ingest could read.

    Raises:
        StateError: the tables of a run have been cleared.
        InputError: more sets than are compared, or no sample has what is compared.
    """
    names: dict[str, int] = {}
    sizes: list[int] = []
    numbered = []
    for one in given:
        of = []
        for name, size in zip(one.sets, one.bytes, strict=True):
            of.append(names.setdefault(name, len(names)))
            sizes += [0] * (len(names) - len(sizes))
            sizes[of[-1]] += size
        numbered.append(of)
    if len(names) > containment.MOST_SETS:
        raise InputError(
            f"{len(names):,} sets are more than the {containment.MOST_SETS:,} that are compared: count by entry or run"
        )
    counts, without = Counts.none(len(names)), np.zeros(len(names), np.int64)
    with tempfile.TemporaryDirectory(prefix="tamis-contains-") as scratch:
        spilled = _Spilled(scratch)
        for one, of in zip(given, numbered, strict=True):
            for number, (records, rows) in enumerate(_records(one, of, on)):
                without[of[one.parts[number].file]] += rows - len(records)
                keys = _keys(records)
                spilled.add(records[containment.sampled(keys, sample)])
        for records in spilled.buckets():
            containment.add(counts, _keys(records), records["of"])
    if not counts.size.any():
        raise InputError(f"no sample has a {on}: compare something else, with --on")
    return Containment(list(names), sizes, without.tolist(), counts, sample)


def _name(run: FinishedRun, source: str, by: By, several: bool) -> str:
    """The set that an input file belongs to."""
    root = storage.redact(run.root).rstrip("/")
    own = {"source": source, "entry": source.partition("/")[0], "run": root}[by]
    return f"{root}: {own}" if several and by != "run" else own


def _records(given: Ingested, of: Sequence[int], on: On) -> Iterator[tuple[Records, int]]:
    """The keys of one part after another with their sets, and its rows."""
    for part in given.parts:
        path = paths.table("ingest", "files", paths.task_name(Scope.FILE, part.file))
        path = storage.join(given.root, path)
        try:
            with sound(path), storage.open_table(path) as raw, ParquetFile(raw) as file:
                table = file.read_row_group(part.group, [COLUMNS[on], "reason"])
        except FileNotFoundError:
            raise StateError(given.lost) from None
        values = table.filter(pc.is_null(table["reason"]))[COLUMNS[on]].to_pylist()
        keys = [_key(on, value) for value in values]
        raw_keys = b"".join(key for key in keys if key is not None)
        words = np.frombuffer(raw_keys, ">u8").reshape(-1, 2)
        records = np.empty(len(words), RECORD)
        records["high"], records["low"] = words[:, 0], words[:, 1]
        records["of"] = of[part.file]
        yield records, table.num_rows


def _key(on: On, value: Any) -> bytes | None:
    return value if on == "pixels" else stored_key(on, value)


def _keys(records: Records) -> npt.NDArray[np.uint64]:
    return np.stack([records["high"], records["low"]], axis=1).astype(np.uint64)


class _Spilled:
    """Records in buckets by their keys: in memory, or in files where they are many."""

    def __init__(self, scratch: str) -> None:
        self._scratch, self._spills = scratch, 0
        self._waiting: list[Records] = []
        self._count = 0

    def add(self, records: Records) -> None:
        """Add records in any order."""
        self._waiting.append(records)
        self._count += len(records)
        if self._count >= IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        records = np.concatenate([np.empty(0, RECORD), *self._waiting])
        # Both halves: uids may be numbers that count, and fill no more than one.
        bucket = (records["high"] ^ records["low"]) % np.uint64(BUCKETS)
        for number in np.unique(bucket):
            storage.write_bytes(
                self._path(self._spills, int(number)), records[bucket == number].tobytes()
            )
        self._spills += 1
        self._waiting, self._count = [], 0

    def _path(self, spill: int, bucket: int) -> str:
        return storage.join(self._scratch, f"{spill:05d}-{bucket:02d}")

    def buckets(self) -> Iterator[Records]:
        """All records, those of a key together."""
        if not self._spills:
            yield np.concatenate([np.empty(0, RECORD), *self._waiting])
            return
        self._spill()
        for number in range(BUCKETS):
            files = [self._path(spill, number) for spill in range(self._spills)]
            pieces = [
                np.frombuffer(storage.read_bytes(file), RECORD)
                for file in files
                if storage.exists(file)
            ]
            yield np.concatenate([np.empty(0, RECORD), *pieces])
