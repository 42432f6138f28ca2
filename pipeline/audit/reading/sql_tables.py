"""The answer to `show tables`: the tables of a run that a person joins, the ledger first, each with its columns.

DuckDB's own list has the help tables of the views too, and the tables of an exchange, which its step alone reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.steps.ingest import Ingest
from tamis.pipeline.tasks.dealing import DEALT
from tamis.schemas.registry import step_class

if TYPE_CHECKING:
    import duckdb

SHOW = re.compile(r"\s*show\s+(all\s+)?tables\s*;?\s*", re.IGNORECASE)

COLUMNS = """
    SELECT schema_name, table_name, string_agg(column_name, ', ' ORDER BY column_index)
    FROM duckdb_columns() WHERE database_name = 'memory' AND NOT internal
    GROUP BY schema_name, table_name
"""

MAIN = "main"


def answer(
    run: FinishedRun, connection: duckdb.DuckDBPyConnection, query: str, limit: int | None = None
) -> tuple[list[str], list[list[Any]]]:
    """The answer to a user's query over a connection that is confined: column names and rows.

    Raises:
        InputError: as ``sql.ask_freely``.
    """
    if SHOW.fullmatch(query):
        return ["name", "columns"], listed(run, connection)[:limit]
    return sql.ask_freely(connection, query, limit)


def listed(run: FinishedRun, connection: duckdb.DuckDBPyConnection) -> list[list[Any]]:
    """Name, as a query has it, and columns of each table: those of the whole run, then step by step."""
    order = {name: number for number, name in enumerate([MAIN, "ingest", *_steps(run)])}
    passing: dict[str, Sequence[str]] = {"ingest": Ingest.passing}
    passing |= {step.name: step_class(step.kind).passing for step in run.steps}
    rows: list[tuple[int, str, str, str]] = []
    for schema, table, columns in sql.ask(connection, COLUMNS)[1]:
        first = table.removesuffix(DEALT)
        if not any(fnmatchcase(first, pattern) for pattern in passing.get(schema, ())):
            rows.append((order.get(schema, len(order)), schema, table, columns))
    return [[_called(schema, table), columns] for _, schema, table, columns in sorted(rows)]


def _steps(run: FinishedRun) -> list[str]:
    return [step.name for step in run.steps]


def _called(schema: str, table: str) -> str:
    if schema == MAIN:
        return table
    names = (
        name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else f'"{name}"' for name in (schema, table)
    )
    return ".".join(names)
