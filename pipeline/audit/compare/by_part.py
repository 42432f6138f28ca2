"""Comparison part by part of two runs whose ledgers have the same samples in the same rows.

Runs of one job with other thresholds are such. Memory holds one part of each ledger. ``diff`` beside this joins any
other two ledgers by uid.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.audit.reading.finished_run import FinishedRun, sound
from tamis.pipeline.store import storage
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks import parts as run_parts
from tamis.schemas.ledger import Reason

COLUMNS = ["uid", "kept", "step", "reason"]

Move = tuple[str, str]
"""(fate in the first run, fate in the second)."""

KEPT = "kept"


@dataclass
class Moved:
    """Counts of samples by move, and (uid, sid, move) of those with the smallest uids."""

    moves: Counter[Move] = field(default_factory=Counter)
    first: list[tuple[str, int, Move]] = field(default_factory=list)


def moved(before: FinishedRun, after: FinishedRun, count: int) -> Moved | None:
    """Compare two runs, and name ``count`` samples; None where a row is not the same sample in both ledgers."""
    names = before.outputs("ledger")
    if names != after.outputs("ledger"):
        return None
    digests = [{o.path: o.sha256 for o in run.files.outputs} for run in (before, after)]
    other = [part for part, name in enumerate(names) if digests[0][name] != digests[1][name]]
    total = Moved()

    def compared(bundle: int) -> Moved | None:
        (one, rows), (two, other_rows) = (_read(run, names[bundle]) for run in (before, after))
        return _compared(one, two, _sids(bundle, rows), count) if rows == other_rows else None

    with (
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
        closing(_map(pool, compared, other)) as results,
    ):
        for result in results:
            if result is None:
                return None
            total.moves.update(result.moves)
            total.first = heapq.nsmallest(count, [*total.first, *result.first])
    return total


def _map(
    pool: ThreadPoolExecutor, function: Callable[[int], Moved | None], parts: Sequence[int]
) -> Generator[Moved | None, None, None]:
    """Results in order; closing the generator cancels calls that have not begun."""
    yield from pool.map(function, parts)


def _sids(bundle: int, rows: Sequence[int]) -> npt.NDArray[np.int64]:
    """The addresses of a bundle's samples, whose parts have so many ``rows``."""
    first = bundle * run_parts.BUNDLE
    return np.concatenate([sids_of(first + i, np.arange(count)) for i, count in enumerate(rows)])


def _compared(one: pa.Table, two: pa.Table, sid: npt.NDArray[np.int64], count: int) -> Moved | None:
    """One bundle; its smallest uids alone are kept."""
    if not one["uid"].equals(two["uid"]) or _repeated(one) != _repeated(two):
        return None
    rows = np.flatnonzero(_differs(one, two))
    picks = pa.array(rows)
    pairs = list(zip(_fates(one.take(picks)), _fates(two.take(picks)), strict=True))
    uids, sids = one["uid"].take(picks).to_pylist(), sid[rows].tolist()
    return Moved(Counter(pairs), heapq.nsmallest(count, zip(uids, sids, pairs, strict=True)))


def _read(run: FinishedRun, name: str) -> tuple[pa.Table, list[int]]:
    """The ledger of a bundle, and the rows of each of its parts."""
    path = storage.join(run.root, name)
    with sound(path), storage.open_table(path) as raw, ParquetFile(raw) as file:
        metadata = file.metadata
        rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        return file.read(columns=COLUMNS).combine_chunks(), rows


def _repeated(table: pa.Table) -> pa.ChunkedArray:
    """(rows,) True for rows that repeat another's uid; these are matched by their order, not by uid."""
    return pc.fill_null(pc.equal(table["reason"], str(Reason.REPEATED_UID)), False)


def _differs(one: pa.Table, two: pa.Table) -> npt.NDArray[np.bool_]:
    """(rows,) True where the two fates differ."""
    differs = np.asarray(pc.not_equal(one["kept"], two["kept"]))
    for name in ("step", "reason"):
        was, now = (pc.fill_null(table[name], "") for table in (one, two))
        differs |= np.asarray(pc.not_equal(was, now))
    return differs


def _fates(table: pa.Table) -> Iterator[str]:
    for kept, step, reason in zip(*(table[n].to_pylist() for n in COLUMNS[1:]), strict=True):
        yield KEPT if kept else f"{step}: {reason}"


def described(before: FinishedRun, after: FinishedRun, moves: Moved) -> list[dict[str, Any]]:
    """The samples of ``moves`` with their names, and the rule and value that decided in each run."""
    sids = [sid for _, sid, _ in moves.first]
    samples = []
    rows = zip(moves.first, before.rows(sids), after.rows(sids), strict=True)
    for (uid, _, (was, now)), one, two in rows:
        names = {name: one[name] if two[name] is None else two[name] for name in ("key", "text")}
        samples.append(
            {
                "uid": uid,
                **names,
                "before": was,
                "after": now,
                "rule_before": one["rule"],
                "value_before": one["value"],
                "rule_after": two["rule"],
                "value_after": two["value"],
            }
        )
    return samples
