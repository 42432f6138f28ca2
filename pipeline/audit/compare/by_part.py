"""Two runs over the same samples in the same places, compared part by part: what another threshold makes of a run.

Only a part of each ledger is held. Where the places do not say which sample is which, ``diff`` beside this joins the
ledgers by uid instead.
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
import pyarrow.parquet as pq

from tamis.pipeline.audit.reading.finished_run import FinishedRun, sound
from tamis.pipeline.store import storage
from tamis.pipeline.tasks import parts as run_parts
from tamis.schemas.ledger import Reason

COLUMNS = ["uid", "kept", "step", "reason"]

Move = tuple[str, str]
"""(fate in the first run, fate in the second)."""

KEPT = "kept"


@dataclass
class Moved:
    """How many samples made each move, and (uid, sid, move) of those with the smallest uids."""

    moves: Counter[Move] = field(default_factory=Counter)
    first: list[tuple[str, int, Move]] = field(default_factory=list)


def moved(before: FinishedRun, after: FinishedRun, count: int) -> Moved | None:
    """What moved, with ``count`` samples; None where a place does not hold the same sample in both runs."""
    names = before.outputs("ledger")
    if names != after.outputs("ledger"):
        return None
    digests = [{o.path: o.sha256 for o in run.manifest.outputs} for run in (before, after)]
    other = [place for place, name in enumerate(names) if digests[0][name] != digests[1][name]]
    found = Moved()

    def compared(place: int) -> Moved | None:
        (one, rows), (two, other_rows) = (_read(run, names[place]) for run in (before, after))
        return _compared(one, two, _sids(place, rows), count) if rows == other_rows else None

    with (
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
        closing(_map(pool, compared, other)) as parts,
    ):
        for part in parts:
            if part is None:
                return None
            found.moves.update(part.moves)
            found.first = heapq.nsmallest(count, [*found.first, *part.first])
    return found


def _map(
    pool: ThreadPoolExecutor, function: Callable[[int], Moved | None], places: Sequence[int]
) -> Generator[Moved | None, None, None]:
    """In order; who stops early cancels what has not begun."""
    yield from pool.map(function, places)


def _sids(bundle: int, rows: Sequence[int]) -> npt.NDArray[np.int64]:
    """The addresses of a bundle's samples, whose parts have so many ``rows``."""
    first = bundle * run_parts.BUNDLE
    return np.concatenate([((first + i) << 32) + np.arange(count) for i, count in enumerate(rows)])


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
    with sound(path), storage.open_table(path) as raw, pq.ParquetFile(raw) as file:
        metadata = file.metadata
        rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        return file.read(columns=COLUMNS, use_threads=False).combine_chunks(), rows


def _repeated(table: pa.Table) -> pa.ChunkedArray:
    """Which rows repeat another's uid: they are known by their order, not by their uid."""
    return pc.fill_null(pc.equal(table["reason"], str(Reason.REPEATED_UID)), False)


def _differs(one: pa.Table, two: pa.Table) -> npt.NDArray[np.bool_]:
    """(n,) whether the fate is another."""
    other = np.asarray(pc.not_equal(one["kept"], two["kept"]))
    for name in ("step", "reason"):
        here, there = (pc.fill_null(table[name], "") for table in (one, two))
        other |= np.asarray(pc.not_equal(here, there))
    return other


def _fates(table: pa.Table) -> Iterator[str]:
    for kept, step, reason in zip(*(table[n].to_pylist() for n in COLUMNS[1:]), strict=True):
        yield KEPT if kept else f"{step}: {reason}"


def described(before: FinishedRun, after: FinishedRun, found: Moved) -> list[dict[str, Any]]:
    """The samples of ``found`` with their names, and what decided in each run."""
    sids = [sid for _, sid, _ in found.first]
    told = []
    rows = zip(found.first, before.rows(sids), after.rows(sids), strict=True)
    for (uid, _, (was, now)), one, two in rows:
        names = {name: one[name] if two[name] is None else two[name] for name in ("key", "text")}
        told.append(
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
    return told
