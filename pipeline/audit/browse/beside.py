"""Another run beside the one that is browsed: the samples whose fates differ, with what each run decided by."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tamis.pipeline.audit.browse.answers import PAGE, Browser
from tamis.pipeline.audit.compare import diff
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.sql import readable
from tamis.pipeline.steps.shared.audit import Row
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError

if TYPE_CHECKING:
    import duckdb

SHOWN = ("kept", "step", "reason", "rule", "value", "bound", "partner_value")

NUMBERED = """
    CREATE TABLE numbered AS
    SELECT row_number() OVER (ORDER BY sid_before, sid_after, uid) AS place, * FROM moved
"""
"""The samples in the order of the first run, and behind them those that only the second has."""

OF_A_MOVE = """
    SELECT place, sid_before, sid_after FROM numbered
    WHERE before IS NOT DISTINCT FROM $before AND after IS NOT DISTINCT FROM $after AND place > $place
    ORDER BY place LIMIT $most
"""


class Beside:
    """Two finished runs, the one that is browsed and another. They are compared once, when that is first asked for."""

    def __init__(self, first: Browser, second: Browser) -> None:
        self.first, self.second = first, second
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._working: duckdb.DuckDBPyConnection | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None  # the same, once all is compared

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the table ``numbered``, for one question."""
        with self._lock:
            if self._connection is None:
                self._connection = self._compared()
            cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def _compared(self) -> duckdb.DuckDBPyConnection:
        runs = self.first.run, self.second.run
        self._folder = tempfile.TemporaryDirectory(prefix="tamis-beside-")
        with readable(*runs):
            self._working = diff.connect(self._folder.name)
            diff.add_ledgers(self._working, *runs)
            self._working.execute(diff.MOVED)
            self._working.execute(NUMBERED)
        return self._working

    def interrupt(self) -> None:
        """Let the comparison fail if it is being made: a process that ends while DuckDB is at work is aborted."""
        if self._working is not None:
            self._working.interrupt()

    def close(self) -> None:
        """Remove what the comparison has put aside."""
        with self._lock:
            if self._working is not None:
                self._working.close()
            if self._folder is not None:
                self._folder.cleanup()

    @property
    def name(self) -> str:
        """The second run's directory."""
        return storage.redact(self.second.run.root)

    def moves(self) -> list[dict[str, Any]]:
        """Each pair of fates that differ, with its samples' number, the largest first; null where a run has no such."""
        with self._cursor() as cursor:
            found = cursor.execute(diff.MOVES).fetchall()
        return [{"before": was, "after": now, "samples": int(n)} for was, now, n in found]

    def samples(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """A page of the samples that moved from one fate to another.

        ``asked``: ``before`` and ``after``, fates as ``moves`` names them, empty where the run has no such sample;
        ``place``: that of the last sample of the page before.

        Raises:
            InputError: ``place`` is no number.
        """
        place = asked.get("place", "") or "0"
        if not (place.isdecimal() and len(place) < 20):
            raise InputError(f"`place` is `{place[:40]}`: a whole number is needed")
        fates = {name: asked.get(name) or None for name in ("before", "after")}
        with self._cursor() as cursor:
            values = {**fates, "place": int(place), "most": PAGE + 1}
            found = cursor.execute(OF_A_MOVE, values).fetchall()
        page = found[:PAGE]
        sides = [_sides(run, [row[at] for row in page]) for run, at in self._runs]
        rows = [
            {"place": row[0], "before": one, "after": two}
            for row, one, two in zip(page, *sides, strict=True)
        ]
        return {"rows": rows, "more": len(found) > PAGE}

    @property
    def _runs(self) -> list[tuple[FinishedRun, int]]:
        """The runs, and the column of OF_A_MOVE with their sids."""
        return [(self.first.run, 1), (self.second.run, 2)]


def _sides(run: FinishedRun, sids: list[int | None]) -> list[dict[str, Any] | None]:
    """What a run says of some of its samples; None for None."""
    there = [sid for sid in sids if sid is not None]
    rows = {row["sid"]: row for row in run.rows(there)}
    return [None if sid is None else _side(run, rows[sid]) for sid in sids]


def _side(run: FinishedRun, row: Row) -> dict[str, Any]:
    """A sample's names and fate in one run, and the sample because of which it fell, if there is one."""
    uid = row["partner_uid"] or row["survivor_uid"]
    other = None if uid is None else run.named(uid)
    return {
        "sid": str(row["sid"]),
        **{name: row[name] for name in ("uid", "key", "text", *SHOWN)},
        "other": None if other is None else {"sid": str(other["sid"]), "key": other["key"]},
    }
