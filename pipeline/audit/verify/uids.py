"""Check that uids are unique, and that the subset lists exactly the kept ones, in order; in bounded memory.

Uids are spilled to a scratch directory by their leading bits, and each bucket is sorted on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.order import rows_by
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.results import subset
from tamis.pipeline.store import storage
from tamis.pipeline.store.numpy_arrays import sound_header
from tamis.schemas.layout import SUBSET
from tamis.schemas.ledger import Reason

IN_MEMORY = 4_000_000
"""Uids in memory, at most; then they are spilled."""

BUCKETS = 64
"""Files of a spill; of a billion uids each bucket has 270 MB."""

DIGITS = 32
"""Hex digits of a uid."""

RECORD = np.dtype(
    [("high", "<u8"), ("low", "<u8"), ("kept", "?"), ("gave_way", "?"), ("times", "<u4")]
)
"""``times``: how often a kept uid stands in the subset."""

Records = npt.NDArray[np.void]


class Uids:
    """Collects uids in any order, and checks them at the end."""

    def __init__(self, scratch: str, times: str | None = None) -> None:
        """``times``: the ledger's column that says how often each kept uid stands in the subset; None: once."""
        self._scratch, self._times = scratch, times
        self._records: list[Records] = []
        self._count = 0
        self._spills = 0

    def add(self, rows: pa.Table) -> None:
        """Add rows of the ledger. Values that are no uids are left out: the check of the rows reports them."""
        valid, raw = _raw(rows["uid"].combine_chunks())
        words = np.frombuffer(raw, dtype=">u8").reshape(-1, 2)
        records = np.empty(len(words), dtype=RECORD)
        records["high"], records["low"] = words[:, 0], words[:, 1]
        gave_way = pc.fill_null(pc.equal(rows["reason"], str(Reason.REPEATED_UID)), False)
        records["kept"] = np.asarray(rows["kept"])[valid]
        records["gave_way"] = np.asarray(gave_way)[valid]
        records["times"] = 1
        if self._times is not None:
            times = rows[self._times].cast(pa.float64()).to_numpy(zero_copy_only=False)
            records["times"] = np.clip(np.nan_to_num(times)[valid], 0, 2**32 - 1)
        self._records.append(records)
        self._count += len(records)
        if self._count >= IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        records = np.concatenate(self._records)
        bucket = records["high"] // np.uint64(2**64 // BUCKETS)
        for number in np.unique(bucket):
            path = self._path(self._spills, int(number))
            storage.write_bytes(path, records[bucket == number].tobytes())
        self._spills += 1
        self._records, self._count = [], 0

    def _path(self, spill: int, bucket: int) -> str:
        return storage.join(self._scratch, f"{spill:05d}-{bucket:02d}")

    def _sorted(self) -> Iterator[Records]:
        """All uids in order, a bucket at a time; of equal ones those dropped as repeated come last."""
        if self._spills:
            if self._records:
                self._spill()
            buckets: Iterator[list[Records]] = (self._bucket(number) for number in range(BUCKETS))
        else:
            buckets = iter([self._records])
        for pieces in buckets:
            records = np.concatenate([np.empty(0, RECORD), *pieces])
            yield records[rows_by(*(records[name] for name in ("high", "low", "gave_way")))]

    def _bucket(self, number: int) -> list[Records]:
        paths = [self._path(spill, number) for spill in range(self._spills)]
        return [
            np.frombuffer(storage.read_bytes(path), dtype=RECORD)
            for path in paths
            if storage.exists(path)
        ]

    def faults(self, path: str | None) -> Iterator[tuple[str, str]]:
        """Errors of the uids: repeated ones whose row was not dropped for that; rows dropped for a uid that is not
        repeated; and differences of the subset at ``path``, if the run has one.
        """
        twice, alone = _Tally(), _Tally()
        listed = _Subset(path) if path else None
        for records in self._sorted():
            again = np.zeros(len(records), dtype=bool)
            again[1:] = (records["high"][1:] == records["high"][:-1]) & (
                records["low"][1:] == records["low"][:-1]
            )
            twice.add(records[again & ~records["gave_way"]])
            alone.add(records[~again & records["gave_way"]])
            if listed:
                kept = records[records["kept"]]
                listed.expect(np.repeat(kept, kept["times"]))
        if twice.count:
            yield "ledger", f"{twice} with a uid that stood before (the first is {twice.first})"
        if alone.count:
            yield (
                "ledger",
                f"{alone} dropped for a repeated uid that no other row has (the first is {alone.first})",
            )
        if listed and (what := listed.difference()):
            yield SUBSET, what


def _raw(uids: pa.Array) -> tuple[npt.NDArray[np.bool_], bytes]:
    """(n,) True for valid uids; and the valid ones as 16 bytes each, one after another."""
    valid = np.ones(len(uids), dtype=bool)
    ends = np.frombuffer(uids.buffers()[1], np.int32)[uids.offset : uids.offset + len(uids) + 1]
    if len(uids) and not uids.null_count and (np.diff(ends) == DIGITS).all():
        digits = memoryview(uids.buffers()[2] or b"")[ends[0] : ends[-1]]
        with suppress(ValueError):
            raw = bytes.fromhex(str(digits, "ascii"))  # blanks would be passed over
            if 2 * len(raw) == len(digits):
                return valid, raw
    words = []
    for index, value in enumerate(uids.to_pylist()):
        try:
            data = bytes.fromhex(value)
        except (TypeError, ValueError):
            data = b""
        valid[index] = 2 * len(data) == DIGITS
        words.append(data if valid[index] else b"")
    return valid, b"".join(words)


@dataclass
class _Tally:
    """A count of records, and the uid of the first."""

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
    """Reads a subset file while the uids that it should hold are listed."""

    def __init__(self, path: str) -> None:
        self._wrong = ""
        self._expected = 0
        self._file = None
        try:
            self._file = storage.open_read(path)
            (self._total,), _, self._dtype = sound_header(self._file)
        except (OSError, ValueError) as error:
            self._wrong = f"cannot be read: {' '.join(str(error).split())}"
            return
        if self._dtype != subset.DTYPE:
            self._wrong = f"holds {self._dtype}, not pairs of 64-bit halves"

    def expect(self, records: Records) -> None:
        """Compare the next records of the file with these."""
        self._expected += len(records)
        if self._wrong or self._file is None:
            return
        want = np.stack([records["high"], records["low"]], axis=1).astype("<u8").tobytes()
        if self._file.read(len(want)) != want:
            self._wrong = "holds other uids than the ledger's kept ones, or in another order"

    def difference(self) -> str:
        """The first difference, "" if there is none. Closes the file."""
        if self._file is not None:
            if not self._wrong and (self._total != self._expected or self._file.read(1)):
                self._wrong = f"holds {self._total:,} uids, the ledger keeps {self._expected:,}"
            self._file.close()
        return self._wrong
