"""Comparison of two runs: the fates of the same uids, and differences of settings, versions and inputs.

A fate is ``kept``, or the step and reason that dropped the sample. Ledgers of the same samples are compared part by
part. DuckDB joins any other two, and spills to a scratch directory what does not fit into its memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tamis.pipeline.audit.compare import by_part
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.sql import MEMORY, readable, reading
from tamis.pipeline.store import storage
from tamis.schemas.errors import StateError
from tamis.schemas.ledger import Reason

if TYPE_CHECKING:
    import duckdb

FATE = "CASE WHEN kept THEN 'kept' ELSE step || ': ' || reason END"

NUMBERED = f"""
    SELECT uid, 0 AS number, sid, {FATE} AS fate FROM {{ledger}} WHERE reason IS DISTINCT FROM '{Reason.REPEATED_UID}'
    UNION ALL
    SELECT uid, row_number() OVER (PARTITION BY uid ORDER BY sid), sid, {FATE} FROM {{ledger}}
    WHERE reason = '{Reason.REPEATED_UID}'
"""
"""Number 0 is the one sample that a uid names; samples that ingest dropped for repeating it count from 1."""

MOVED = f"""
    CREATE TABLE moved AS
    SELECT coalesce(a.uid, b.uid) AS uid, a.sid AS sid_before, b.sid AS sid_after, a.fate AS before, b.fate AS after
    FROM ({NUMBERED.format(ledger="ledger_before")}) AS a
    FULL OUTER JOIN ({NUMBERED.format(ledger="ledger_after")}) AS b USING (uid, number)
    WHERE a.fate IS DISTINCT FROM b.fate
"""

MOVES = """
    SELECT before, after, count(*) AS samples FROM moved
    GROUP BY before, after ORDER BY samples DESC, before NULLS FIRST, after NULLS FIRST
"""

SAMPLES = """
    SELECT chosen.uid, coalesce(b.key, a.key) AS key, coalesce(b.text, a.text) AS text,
        chosen.before, chosen.after, a.rule AS rule_before, a.value AS value_before,
        b.rule AS rule_after, b.value AS value_after
    FROM (SELECT * FROM moved ORDER BY uid, sid_after, sid_before LIMIT ?) AS chosen
    LEFT JOIN ledger_before AS a ON a.sid = chosen.sid_before
    LEFT JOIN ledger_after AS b ON b.sid = chosen.sid_after
    ORDER BY chosen.uid, chosen.sid_after, chosen.sid_before
"""


Move = tuple[str | None, str | None, int]
"""(fate in the first run, fate in the second, samples)."""


@dataclass(frozen=True)
class Difference:
    """Difference of two runs. ``moves``: a fate is None where that run does not have the sample.

    ``settings``, ``versions``, ``inputs``: name -> (value in the first run, value in the second), where they differ.
    """

    rows: tuple[int, int]
    kept: tuple[int, int]
    moves: Sequence[Move]
    samples: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    versions: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    inputs: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def came(self) -> int:
        """Number of samples that only the second run keeps."""
        return sum(count for _, after, count in self.moves if after == "kept")

    @property
    def went(self) -> int:
        """Number of samples that only the first run keeps."""
        return sum(count for before, _, count in self.moves if before == "kept")

    @property
    def only(self) -> tuple[int, int]:
        """Numbers of samples that only the first run has, and only the second."""
        return (
            sum(count for _, after, count in self.moves if after is None),
            sum(count for before, _, count in self.moves if before is None),
        )


def diff(before: FinishedRun, after: FinishedRun, count: int = 20) -> Difference:
    """Compare two runs; ``count`` samples that moved are named, in the order of their uids.

    Raises:
        StateError: a run has no ledger.
    """
    for run in (before, after):
        if not run.outputs("ledger"):
            raise StateError(
                f"{storage.redact(run.root)}: has no samples: there is nothing to compare"
            )
    by_row = by_part.moved(before, after, count)
    if by_row is not None:
        moves: list[Move] = [(was, now, n) for (was, now), n in by_row.moves.items()]
        moves.sort(key=lambda move: (-move[2], str(move[0]), str(move[1])))
        samples = by_part.described(before, after, by_row)
    else:
        moves, samples = _joined(before, after, count)
    one, two = before.manifest, after.manifest
    return Difference(
        rows=(one.rows_in, two.rows_in),
        kept=(one.kept, two.kept),
        moves=moves,
        samples=samples,
        settings=_changed(_settings(one.job), _settings(two.job)),
        versions=_changed(*({v.package: v.version for v in m.versions} for m in (one, two))),
        inputs=_changed(
            *({i.source: i.sha256 for i in run.files.inputs} for run in (before, after))
        ),
    )


def _joined(
    before: FinishedRun, after: FinishedRun, count: int
) -> tuple[list[Move], list[dict[str, Any]]]:
    """Moves and samples of ledgers whose rows are not the same samples."""
    with (
        tempfile.TemporaryDirectory(prefix="tamis-diff-") as scratch,
        readable(before, after),
        closing(connect(scratch)) as connection,
    ):
        add_ledgers(connection, before, after)
        connection.execute(MOVED)
        moves = connection.execute(MOVES).fetchall()
        answer = connection.execute(SAMPLES, [count])
        names = [column[0] for column in answer.description or ()]
        samples = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    return [(was, now, int(n)) for was, now, n in moves], samples


def connect(scratch: str) -> duckdb.DuckDBPyConnection:
    """A connection that spills into the directory ``scratch``."""
    import duckdb

    # The moved samples may be as many as the runs have: they lie in a file, not in memory.
    connection = duckdb.connect(storage.join(scratch, "moved.duckdb"))
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    connection.execute(f"SET temp_directory = '{storage.join(scratch, 'spilled')}'")
    return connection


def add_ledgers(
    connection: duckdb.DuckDBPyConnection, before: FinishedRun, after: FinishedRun
) -> None:
    """Make the views of both ledgers, from which MOVED makes its table."""
    for name, run in (("ledger_before", before), ("ledger_after", after)):
        if not storage.is_local(run.root):
            connection.register_filesystem(storage.filesystem(run.root)[0])
        paths = [storage.join(run.root, path) for path in run.outputs("ledger")]
        connection.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM {reading(paths)}")


def _settings(job: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting by its path, as ``--set`` names it, with steps by their names."""
    plain = {key: value for key, value in job.items() if key != "steps"}
    for step in job["steps"]:
        for kind, settings in step.items():
            plain[str(settings.get("name", kind))] = settings
    return _flat(plain, "")


def _flat(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        items = {str(number): inner for number, inner in enumerate(value)}.items()
    else:
        return {path: value}
    flat: dict[str, Any] = {}
    for key, inner in items:
        flat |= _flat(inner, f"{path}.{key}" if path else str(key))
    return flat


def _changed(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        key: (one.get(key), two.get(key))
        for key in sorted({*one, *two})
        if one.get(key) != two.get(key)
    }
