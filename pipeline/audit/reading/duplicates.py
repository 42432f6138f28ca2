"""Duplicates as they are shown: of each step groups by size, the largest of them, and the pairs nearest its bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.steps.shared.audit import Row
from tamis.schemas.ledger import likeness
from tamis.schemas.step import StepModel

if TYPE_CHECKING:
    import duckdb


class Case(NamedTuple):
    """A dropped sample, its partner, the survivor of its group, and the number of samples in that group."""

    dropped: Row
    partner: Row | None
    survivor: Row | None
    group: int
    score: str


class GroupSizes(NamedTuple):
    """The groups of ``least`` to ``most`` samples: how many, how many fell, and of each the value least alike."""

    least: int
    most: int
    groups: int
    dropped: int
    median: float | None  # of these values
    weakest: float | None  # of all


class StepDuplicates(NamedTuple):
    """Duplicates of one step: their number, the number of groups, their sizes, and examples."""

    step: str
    measure: str  # of the values; empty where nothing is measured
    dropped: int
    groups: int
    sizes: list[GroupSizes]
    largest: list[Case]
    borderline: list[Case]


STEPS = """
    SELECT step, count(*), count(DISTINCT survivor_uid) FROM ledger
    WHERE survivor_uid IS NOT NULL AND step IS NOT NULL GROUP BY step
"""
LARGEST = """
    SELECT survivor_uid, count(*) AS members FROM ledger WHERE step = $step
    GROUP BY survivor_uid ORDER BY members DESC, survivor_uid LIMIT $count
"""
SIZES = """
    WITH groups AS (
        SELECT count(*) + 1 AS members, {weakest}(partner_value) AS weakest
        FROM ledger WHERE step = $step AND survivor_uid IS NOT NULL GROUP BY survivor_uid
    )
    SELECT floor(log2(members))::BIGINT AS power, count(*), sum(members - 1)::BIGINT,
        median(weakest), {weakest}(weakest)
    FROM groups GROUP BY power ORDER BY power DESC
"""
FIRST = """
    SELECT survivor_uid, min_by(sid, uid) FROM ledger
    WHERE step = $step AND survivor_uid IN (SELECT unnest($survivors)) GROUP BY survivor_uid
"""
BORDERLINE = """
    SELECT sid FROM ledger WHERE step = $step AND partner_value IS NOT NULL
    ORDER BY abs(partner_value - coalesce(bound, partner_value)), uid LIMIT $count
"""


def duplicates(
    run: FinishedRun, connection: duckdb.DuckDBPyConnection, count: int = 4
) -> list[StepDuplicates]:
    """Up to ``count`` groups and as many pairs of each step that found duplicates, in the job's order."""
    totals = {step: (n, groups) for step, n, groups in connection.execute(STEPS).fetchall()}
    by_step = []
    for config in (step for step in run.steps if step.name in totals):
        step = config.name
        dropped, groups = totals[step]
        largest = connection.execute(LARGEST, {"step": step, "count": count}).fetchall()
        by_step.append(
            StepDuplicates(
                step,
                config.likeness,
                dropped,
                groups,
                group_sizes(connection, config),
                _largest(run, connection, step, dict(largest)),
                _borderline(run, connection, step, count) if config.likeness else [],
            )
        )
    return by_step


def group_sizes(connection: duckdb.DuckDBPyConnection, step: StepModel) -> list[GroupSizes]:
    """A step's groups by powers of two of their size, the largest first."""
    query = SIZES.format(weakest=weakest(step))
    counted = connection.execute(query, {"step": step.name}).fetchall()
    return [GroupSizes(1 << power, (2 << power) - 1, *rest) for power, *rest in counted]


def weakest(step: StepModel) -> str:
    """The function of SQL that finds the value least alike."""
    return "min" if step.larger_is_alike else "max"


def _largest(
    run: FinishedRun, connection: duckdb.DuckDBPyConnection, step: str, members: dict[str, int]
) -> list[Case]:
    values = {"step": step, "survivors": list(members)}
    first = dict(connection.execute(FIRST, values).fetchall())
    rows = run.rows([first[survivor] for survivor in members])
    return [_case(run, row, size + 1) for row, size in zip(rows, members.values(), strict=True)]


def _borderline(
    run: FinishedRun, connection: duckdb.DuckDBPyConnection, step: str, count: int
) -> list[Case]:
    sids = connection.execute(BORDERLINE, {"step": step, "count": count}).fetchall()
    cases = []
    for row in run.rows([sid for (sid,) in sids]):
        (members,) = connection.execute(
            "SELECT count(*) FROM ledger WHERE step = ? AND survivor_uid = ?",
            [step, row["survivor_uid"]],
        ).fetchall()[0]
        cases.append(_case(run, row, members + 1))
    return cases


def _case(run: FinishedRun, row: Row, group: int) -> Case:
    uids = (row[f"{role}_uid"] for role in ("partner", "survivor"))
    partner, survivor = (run.named(uid) if uid is not None else None for uid in uids)
    measure = likeness(row["reason"], run.settings_of(row["step"]))
    return Case(row, partner, survivor, group, measure)
