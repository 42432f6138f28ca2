"""The run's ledger and tables as DuckDB views: ``ledger``, ``"step"."phase"`` for every phase below ``tables/``, and
``delta`` where the subset has changed.

Tables with rows of samples get a column ``sid``, by which they join with each other and with the ledger.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.audit.reading.finished_run import FinishedRun, sound
from tamis.pipeline.host.interrupts import interruptible
from tamis.pipeline.results import delta
from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tasks.phase_index import TASK_FILE, read_index
from tamis.pipeline.tasks.sources import INDEX
from tamis.schemas.errors import InputError, StateError
from tamis.schemas.scope import Scope

if TYPE_CHECKING:
    import duckdb

MEMORY = "1500MB"

ZONED = "WITH TIME ZONE"
"""Part of the name of DuckDB types whose values can be read only with another package, pytz."""

POSITIONED = """
    CREATE VIEW {view} AS
    SELECT (starts.part << 32) | {row} AS sid, {columns}
    FROM {reading} AS read ASOF JOIN {starts} AS starts
    ON parse_filename(read."file of row", true) = starts.task AND read.file_row_number >= starts.first
"""


def connect(run: FinishedRun, tables: bool = True) -> duckdb.DuckDBPyConnection:
    """A new connection in memory, with the views; ``tables``: with those of ``tables/`` too.

    Samples are read only when a query asks for them.
    """
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    # DuckDB would print a bar of its own between our lines where it takes the process for a session at a prompt.
    connection.execute("SET enable_progress_bar = false")
    # Not the working directory, where a killed query would leave what it put aside; and a folder of its own, since
    # queries may read what lies there. DuckDB makes it when it needs it.
    spilled = os.path.join(tempfile.gettempdir(), f"tamis-{uuid.uuid4().hex}")
    connection.execute("SET temp_directory = ?", [spilled])
    if not storage.is_local(run.root):
        connection.register_filesystem(storage.filesystem(run.root)[0])
    with readable(run):
        _add_views(connection, run, tables)
    return connection


@contextmanager
def readable(*runs: FinishedRun) -> Iterator[None]:
    """Context in which DuckDB reads files of some runs.

    Raises:
        StateError: a file cannot be read; the message is DuckDB's.
    """
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise unreadable(error, *runs) from None


def unreadable(error: Exception, *runs: FinishedRun) -> StateError:
    """DuckDB's error about files of some runs."""
    roots = " and ".join(storage.redact(run.root) for run in runs)
    return StateError(f"{roots}: {_in_words(error)}")


def _add_views(connection: duckdb.DuckDBPyConnection, run: FinishedRun, tables: bool) -> None:
    ledger = [storage.join(run.root, path) for path in run.outputs("ledger")]
    if ledger:
        connection.execute(f"CREATE VIEW ledger AS SELECT * FROM {reading(ledger)}")
    if storage.exists(storage.join(run.root, delta.FILE)):
        changes = reading([storage.join(run.root, delta.FILE)])
        connection.execute(f"CREATE VIEW delta AS SELECT * FROM {changes}")
    if tables:
        for step in storage.folders_in(storage.join(run.root, paths.TABLES)):
            if step != "ledger":  # its tables are receipts of the files behind the view `ledger`
                _add_step(connection, run, step)


def _add_step(connection: duckdb.DuckDBPyConnection, run: FinishedRun, step: str) -> None:
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(step)}")
    for phase in storage.folders_in(storage.join(run.root, paths.TABLES, step)):
        folder = storage.join(run.root, paths.folder(step, phase))
        names = [name for name in storage.listing(folder) if TASK_FILE.fullmatch(name)]
        if not names:
            continue
        index = read_index(run.root, paths.folder(step, phase))
        if (
            index is not None
        ):  # a table that is missing, or not listed yet, is not left out in silence
            names = [f"{name}.parquet" for name in index.names.to_pylist()]
        view, files = (
            f"{identifier(step)}.{identifier(phase)}",
            [storage.join(folder, n) for n in names],
        )
        with sound(files[0]), storage.open_read(files[0]) as raw:
            columns = pq.read_schema(raw).names
        if "sid" in columns or not ("row" in columns or (step, phase) == ("ingest", "files")):
            connection.execute(f"CREATE VIEW {view} AS SELECT * FROM {reading(files)}")
            continue
        starts = f"_starts_{step}_{phase}"
        if index is None:
            raise part_files.damage_error(storage.join(folder, INDEX))
        connection.register(starts, _starts(run, index))
        connection.execute(
            POSITIONED.format(
                view=view,
                row='read."row"' if "row" in columns else "(read.file_row_number - starts.first)",
                columns=", ".join(f"read.{identifier(column)}" for column in columns),
                reading=reading(files, ", filename = 'file of row', file_row_number = true"),
                starts=identifier(starts),
            )
        )


def _starts(run: FinishedRun, index: FileColumns) -> pa.Table:
    """(task, first, part): the rows of a task's file from ``first`` on belong to that part.

    A part has a file of its own, or a row group in the table of its input file, bundle or range. In tables of bundles
    and ranges all parts follow one another in order.
    """
    parts = {(part.file, part.group): part.number for part in run.parts}
    task: list[str] = []
    first: list[int] = []
    number: list[int] = []
    following = 0
    for position, name in sorted(enumerate(index.names.to_pylist()), key=itemgetter(1)):
        rows = index.file(position).rows
        for group, start in enumerate(accumulate(rows[:-1], initial=0)):
            part: int | None = following
            scope, own = paths.numbered(name) or (Scope.WHOLE, 0)
            if scope is Scope.FILE:
                part = parts.get((own, group))
            elif scope is Scope.PART:
                part = own
            following += 1
            if rows[group] and part is not None:
                task.append(name)
                first.append(start)
                number.append(part)
    columns = {"task": pa.array(task, pa.string()), "first": pa.array(first, pa.int64())}
    return pa.table({**columns, "part": pa.array(number, pa.int64())})


def reading(files: Sequence[str], more: str = "") -> str:
    """SQL of the table function that reads some parquet files."""
    listed = ", ".join(map(literal, files))
    return f"read_parquet([{listed}], hive_partitioning = false{more})"


def identifier(value: str) -> str:
    """A column's or table's name, quoted."""
    return '"' + value.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text, quoted."""
    return "'" + value.replace("'", "''") + "'"


def confine(connection: duckdb.DuckDBPyConnection, run: FinishedRun) -> None:
    """Let queries read the run's own files alone, for good."""
    root = run.root.rstrip("/").replace("'", "''")
    connection.execute(f"SET allowed_directories = ['{root}/']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")


def ask_freely(
    connection: duckdb.DuckDBPyConnection, query: str, limit: int | None = None
) -> tuple[list[str], list[list[Any]]]:
    """Answer a user's query, over a connection that is confined; as ``ask``.

    Raises:
        InputError: it is not exactly one SELECT, or DuckDB refuses it.
    """
    import duckdb

    try:
        kinds = [statement.type.name for statement in connection.extract_statements(query)]
        if kinds != [duckdb.StatementType.SELECT.name]:
            named = ", ".join(kinds) or "none"
            raise InputError(
                f"--sql: one query that reads is answered (SELECT ...), this is: {named}"
            )
        answer = connection.sql(_without_end(connection, query))
        names = list(answer.columns)
        kinds = [str(kind) for kind in answer.types]
        if any(ZONED in kind for kind in kinds):
            shown = (_shown(*column) for column in enumerate(zip(names, kinds, strict=True), 1))
            answer = answer.project(", ".join(shown))
        asked = answer if limit is None else answer.limit(limit)
        rows = interruptible(asked.fetchall, connection.interrupt)
    except (duckdb.Error, TypeError) as error:  # a TypeError: it is no text in UTF-8
        raise InputError(f"--sql: {_one_line(error)}") from None
    return names, [[_plain(value) for value in row] for row in rows]


def _without_end(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """A query without its last semicolon and the comments behind it, so that it can be nested."""
    head, mark, tail = query.rpartition(";")
    while mark and not _says_something(connection, tail):
        query = head
        head, mark, tail = query.rpartition(";")
    return query


def _says_something(connection: duckdb.DuckDBPyConnection, text: str) -> bool:
    import duckdb

    try:
        return bool(connection.extract_statements(text))
    except duckdb.Error:
        return True


def _shown(number: int, column: tuple[str, str]) -> str:
    """SQL of a column by its number; as text if it has a time zone (``ZONED``)."""
    name, kind = column
    return f"#{number}{'::VARCHAR' if ZONED in kind else ''} AS {identifier(name)}"


def ask(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    values: Sequence[object] = (),
    limit: int | None = None,
) -> tuple[list[str], list[list[Any]]]:
    """The answer's column names and its first ``limit`` rows; bytes as hex digits.

    Raises:
        InputError: DuckDB refuses the query; the message is its own.
    """
    import duckdb

    try:
        answer = interruptible(
            lambda: connection.execute(query, list(values)), connection.interrupt
        )
        names = [column[0] for column in answer.description or ()]
        rows = answer.fetchall() if limit is None else answer.fetchmany(limit)
    except duckdb.Error as error:
        raise InputError(f"this run's tables: {_in_words(error)}") from None
    return names, [[_plain(value) for value in row] for row in rows]


def _in_words(error: Exception) -> str:
    """DuckDB's error, and what to do about it."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return f"{_one_line(error)}: ask for less at once"
    return f"{_one_line(error)}: `tamis verify` says what is damaged"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _plain(value: Any) -> Any:
    """A value as JSON and tables can show it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
