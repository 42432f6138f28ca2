"""Does a uid name one sample, and is the subset exactly those of the kept, in order? In bounded memory.

Uids are spilled to a scratch directory by their leading bits, and each bucket is sorted on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from tokenize import TokenError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numpy.lib import format as npy

from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.results import subset
from tamis.pipeline.store import storage
from tamis.schemas.ledger import Reason

HELD = 4_000_000
"""Uids that are held before they are spilled."""

BUCKETS = 64
"""Files of a spill: a bucket of a billion uids is 270 MB."""

DIGITS = 32
"""Of a uid."""

RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("kept", "?"), ("gave_way", "?")])

Records = npt.NDArray[np.void]


class Uids:
    """Takes uids in any order; says what is wrong with all of them at the end."""

    def __init__(self, scratch: str) -> None:
        self._scratch = scratch
        self._held: list[Records] = []
        self._count = 0
        self._spills = 0

    def add(self, rows: pa.Table) -> None:
        """Some rows of the ledger. What is no uid is left out: who reads the rows says so."""
        there, raw = _raw(rows["uid"].combine_chunks())
        words = np.frombuffer(raw, dtype=">u8").reshape(-1, 2)
        records = np.empty(len(words), dtype=RECORD)
        records["high"], records["low"] = words[:, 0], words[:, 1]
        gave_way = pc.fill_null(pc.equal(rows["reason"], str(Reason.REPEATED_UID)), False)
        records["kept"] = np.asarray(rows["kept"])[there]
        records["gave_way"] = np.asarray(gave_way)[there]
        self._held.append(records)
        self._count += len(records)
        if self._count >= HELD:
            self._spill()

    def _spill(self) -> None:
        records = np.concatenate(self._held)
        bucket = records["high"] // np.uint64(2**64 // BUCKETS)
        for number in np.unique(bucket):
            path = self._path(self._spills, int(number))
            storage.write_bytes(path, records[bucket == number].tobytes())
        self._spills += 1
        self._held, self._count = [], 0

    def _path(self, spill: int, bucket: int) -> str:
        return storage.join(self._scratch, f"{spill:05d}-{bucket:02d}")

    def _sorted(self) -> Iterator[Records]:
        """All of them in order, a bucket at a time; of one uid those that gave way are last."""
        if self._spills:
            if self._held:
                self._spill()
            buckets: Iterator[list[Records]] = (self._bucket(number) for number in range(BUCKETS))
        else:
            buckets = iter([self._held])
        for pieces in buckets:
            records = np.concatenate([np.empty(0, RECORD), *pieces])
            yield records[np.lexsort([records[name] for name in ("gave_way", "low", "high")])]

    def _bucket(self, number: int) -> list[Records]:
        paths = [self._path(spill, number) for spill in range(self._spills)]
        return [
            np.frombuffer(storage.read_bytes(path), dtype=RECORD)
            for path in paths
            if storage.exists(path)
        ]

    def faults(self, path: str | None) -> Iterator[tuple[str, str]]:
        """Uids that stand twice, but for rows that were dropped for that; such rows whose uid nobody else has; and
        where the subset at ``path``, if there is to be one, is another list.
        """
        twice, alone = _Some(), _Some()
        listed = _Subset(path) if path else None
        for records in self._sorted():
            again = np.zeros(len(records), dtype=bool)
            again[1:] = (records["high"][1:] == records["high"][:-1]) & (
                records["low"][1:] == records["low"][:-1]
            )
            twice.add(records[again & ~records["gave_way"]])
            alone.add(records[~again & records["gave_way"]])
            if listed:
                listed.expect(records[records["kept"]])
        if twice.count:
            yield "ledger", f"{twice} with a uid that stood before (the first is {twice.first})"
        if alone.count:
            yield (
                "ledger",
                f"{alone} dropped for a repeated uid that no other row has (the first is {alone.first})",
            )
        if listed and (what := listed.difference()):
            yield "subset.npy", what


def _raw(uids: pa.Array) -> tuple[npt.NDArray[np.bool_], bytes]:
    """Where uids stand, and their 16 bytes each, one after another."""
    there = np.ones(len(uids), dtype=bool)
    ends = np.frombuffer(uids.buffers()[1], np.int32)[uids.offset : uids.offset + len(uids) + 1]
    if len(uids) and not uids.null_count and (np.diff(ends) == DIGITS).all():
        digits = memoryview(uids.buffers()[2] or b"")[ends[0] : ends[-1]]
        with suppress(ValueError):
            raw = bytes.fromhex(str(digits, "ascii"))  # blanks would be passed over
            if 2 * len(raw) == len(digits):
                return there, raw
    found = []
    for place, value in enumerate(uids.to_pylist()):
        try:
            data = bytes.fromhex(value)
        except (TypeError, ValueError):
            data = b""
        there[place] = 2 * len(data) == DIGITS
        found.append(data if there[place] else b"")
    return there, b"".join(found)


@dataclass
class _Some:
    """How many records something holds of, and the uid of the first."""

    count: int = 0
    first: str = ""

    def add(self, records: Records) -> None:
        if len(records) and not self.count:
            self.first = _digits(records[0])
        self.count += len(records)

    def __str__(self) -> str:
        return counted(self.count, "row")


def _digits(record: np.void) -> str:
    return f"{int(record['high']):016x}{int(record['low']):016x}"


class _Subset:
    """Reads a subset file along with what it ought to hold."""

    def __init__(self, path: str) -> None:
        self._wrong = ""
        self._expected = 0
        self._file = None
        try:
            self._file = storage.open_read(path)
            npy.read_magic(self._file)
            (self._total,), _, self._dtype = npy.read_array_header_1_0(self._file)
        except (OSError, ValueError, TypeError, SyntaxError, TokenError) as error:
            self._wrong = f"cannot be read: {' '.join(str(error).split())}"
            return
        if self._dtype != subset.DTYPE:
            self._wrong = f"holds {self._dtype}, not pairs of 64-bit halves"

    def expect(self, records: Records) -> None:
        """The next uids that it ought to hold."""
        self._expected += len(records)
        if self._wrong or self._file is None:
            return
        want = np.stack([records["high"], records["low"]], axis=1).astype("<u8").tobytes()
        if self._file.read(len(want)) != want:
            self._wrong = "holds other uids than the ledger's kept ones, or in another order"

    def difference(self) -> str:
        """What is wrong with it; "" where nothing is. Closes the file."""
        if self._file is not None:
            if not self._wrong and (self._total != self._expected or self._file.read(1)):
                self._wrong = f"holds {self._total:,} uids, the ledger keeps {self._expected:,}"
            self._file.close()
        return self._wrong
