"""Pairs of a drop and its survivor, of the steps of duplicates, for a person to look at; and notes on all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tamis.pipeline.audit.reading import stored_edges
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import number
from tamis.pipeline.steps.shared.audit import Row
from tamis.schemas.errors import JobError
from tamis.schemas.ledger import Reason
from tamis.schemas.nearest import nearest
from tamis.schemas.step import StepModel

if TYPE_CHECKING:
    import duckdb

WEAKEST = 1 / 3
"""Share of the pairs that are those least alike."""

GROUPED = 20_000_000
"""Most dropped samples whose groups are counted for the notes: more take minutes."""


class Pair(NamedTuple):
    """A dropped sample and its survivor; None where the ledger does not have it."""

    dropped: Row
    survivor: Row | None


class Fallen(NamedTuple):
    """A step's drops: samples, groups, samples of the largest, its survivor's uid, and the value least alike."""

    dropped: int
    groups: int
    largest: int
    survivor: str
    weakest: float | None


FOUND = "SELECT DISTINCT step FROM ledger WHERE survivor_uid IS NOT NULL AND step IS NOT NULL"
# By a hash of the uid, since an input's own uids may be in some order.
DRAWN = """
    WITH fallen AS (SELECT sid, survivor_uid, partner_value, md5(uid) AS drawn
        FROM ledger WHERE step = $step AND survivor_uid IS NOT NULL),
    weak AS (FROM fallen WHERE partner_value IS NOT NULL ORDER BY partner_value {order}, drawn LIMIT $weak),
    others AS (FROM fallen WHERE sid NOT IN (SELECT sid FROM weak) ORDER BY drawn
        LIMIT (SELECT $count - count(*) FROM weak))
    SELECT sid, survivor_uid FROM (FROM weak UNION ALL FROM others) ORDER BY partner_value {order}, drawn
"""
NAMED = """
    SELECT uid, min(sid) FROM ledger
    WHERE uid IN (SELECT unnest($uids)) AND reason IS DISTINCT FROM $repeated GROUP BY uid
"""
FALLEN_BY_STEP = """
    WITH groups AS (
        SELECT step, survivor_uid, count(*) AS members, min(partner_value) AS low, max(partner_value) AS high
        FROM ledger WHERE survivor_uid IS NOT NULL AND step IS NOT NULL GROUP BY step, survivor_uid
    )
    SELECT step, sum(members)::BIGINT, count(*), max(members) + 1,
        min(struct_pack(size := -members, uid := survivor_uid)).uid, min(low), max(high)
    FROM groups GROUP BY step
"""


def drawn(
    run: FinishedRun, connection: duckdb.DuckDBPyConnection, step: str, count: int
) -> list[Pair]:
    """``count`` dropped samples of a step beside their survivors, the least alike first.

    A third of them are those least alike of all, the others are drawn by a hash of their uids: the same every time.

    Raises:
        JobError: no such step found duplicates.
    """
    order = "ASC" if _finder(run, connection, step).larger_is_alike else "DESC"
    query = DRAWN.format(order=order)
    values = {"step": step, "count": count, "weak": round(count * WEAKEST)}
    found = connection.execute(query, values).fetchall()
    uids = sorted({uid for _, uid in found})
    named = connection.execute(NAMED, {"uids": uids, "repeated": str(Reason.REPEATED_UID)})
    survivors = dict(named.fetchall())
    rows = {row["sid"]: row for row in run.rows([*(sid for sid, _ in found), *survivors.values()])}
    return [Pair(rows[sid], rows.get(survivors.get(uid, -1))) for sid, uid in found]


def _finder(run: FinishedRun, connection: duckdb.DuckDBPyConnection, name: str) -> StepModel:
    found = {step for (step,) in connection.execute(FOUND).fetchall()}
    steps = {step.name: step for step in run.steps if step.name in found}
    if name not in steps:
        known = nearest(name, list(steps)) if steps else ""
        raise JobError(f"--edges {name}: that step dropped no duplicates{known}")
    return steps[name]


def fallen(run: FinishedRun, connection: duckdb.DuckDBPyConnection) -> dict[str, Fallen]:
    """The drops of each step that found duplicates, in the job's order."""
    counted = {step: rest for step, *rest in connection.execute(FALLEN_BY_STEP).fetchall()}
    found = {}
    for step in run.steps:
        if step.name in counted:
            dropped, groups, largest, survivor, low, high = counted[step.name]
            weakest = low if step.larger_is_alike else high
            found[step.name] = Fallen(dropped, groups, largest, survivor, weakest)
    return found


def remarks(run: FinishedRun, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """A line for each step of duplicates: its largest group and weakest edge; and what it decided otherwise."""
    gone = sum(sum(step.dropped.values()) for step in run.manifest.steps)
    found = fallen(run, connection) if gone <= GROUPED else {}
    lines = []
    if gone > GROUPED:
        lines.append(
            f"groups of duplicates among more than {GROUPED:,} dropped samples: see `tamis report`"
        )
    for step in run.steps:
        if step.name in found:
            lines.append(_told(step, found[step.name]))
        left_out = stored_edges.unsearched(run.root, step.name, step.edge_phases)
        if left_out:
            lines.append(
                f"{step.name}: {left_out:,} samples were compared with the most preferred of their like alone "
                "(unsearched): some that are alike may both be kept"
            )
        hashed = stored_edges.by_hash(run.root, step.name) if step.edge_phases else 0
        if hashed:
            lines.append(
                f"{step.name}: {hashed:,} samples of long chains were decided in the order of a hash of their uids, "
                "not of preference"
            )
    return lines


def _told(step: StepModel, found: Fallen) -> str:
    weak = ""
    if step.likeness and found.weakest is not None:
        weak = f"; the weakest edge: {step.likeness} {number(found.weakest)}"
    return (
        f"{step.name}: {found.dropped:,} fell for {found.groups:,}; the largest group: {found.largest:,} samples, "
        f"survivor {found.survivor}{weak}"
    )
