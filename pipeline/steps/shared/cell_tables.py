"""Tables of a list that a step compares with, parquet, CSV or JSON: their cells, in batches whose bytes are bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from tamis.pipeline.inputs.inner_fields import field_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet.batch_size import batch_rows
from tamis.pipeline.inputs.parquet.batches import cell_values
from tamis.pipeline.inputs.parquet.file import BROKEN, InputParquet, open_parquet
from tamis.pipeline.inputs.parquet.format import PARQUET
from tamis.pipeline.inputs.parquet.leaves import is_twice
from tamis.pipeline.inputs.table.format import CSV, JSONL
from tamis.pipeline.inputs.table.records import Record
from tamis.pipeline.inputs.table.syntax import LIMIT, Csv, Syntax, first_rows
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import require_content
from tamis.schemas.errors import InputError
from tamis.schemas.tables import find_column

BATCH = 10_000
"""Rows that are read at once, at most."""

Choose = Callable[[list[str]], Sequence[str]]
"""The columns to read, of the names of all; raises an InputError where it finds none."""


def is_table(path: str, wanted: str | None) -> bool:
    """Whether a list is a table by its ending, and no text of an entry a line.

    CSV of one column is such a text where its first line does not name what is ``wanted``; None: it is a table anyway.
    """
    ending = path.lower()
    if not ending.endswith((*PARQUET.endings, *CSV.endings, *JSONL.endings)):
        return False
    if wanted is None or not ending.endswith(CSV.endings):
        return True
    try:
        names = [name for name in CSV.syntax(_file(path)).names if name]
    except ValueError:
        return False
    return len(names) > 1 or wanted in names or find_column(wanted, names) is not None


def _file(path: str) -> InputFile:
    return InputFile("", path, path, "", 0)


def cells(
    path: str, shown: str, choose: Choose, wanted: str = "a list"
) -> Iterator[list[list[Any]]]:
    """The cells of some columns, a list a column, a batch of rows at a time; text that is not UTF-8 stays bytes.

    Args:
        path: of the file.
        shown: its name in messages.
        choose: says which columns.
        wanted: what the file is to be, in messages.

    Raises:
        InputError: it is gone, damaged or no such table, has a column twice, or as ``choose``.
        MemoryError, StorageError: the machine's fault, and not the file's.
    """
    if path.lower().endswith((*CSV.endings, *JSONL.endings)):
        yield from _of_text(path, shown, choose)
        return
    try:
        with closing(open_parquet(path)) as file:
            yield from _batches(file, shown, choose)
    except BROKEN as error:
        require_content(error, path)
        why = " ".join(str(error).split())[:120]
        raise InputError(
            f"{shown}: cannot be read as parquet ({why}): {wanted} is parquet, or a text file of one entry a line"
        ) from None


def _of_text(path: str, shown: str, choose: Choose) -> Iterator[list[list[Any]]]:
    """The cells of CSV or JSON, as ``cells``."""
    try:
        syntax = _syntax(path)
    except ValueError as error:
        raise InputError(f"{shown}: {error}") from None
    found = [name for name in syntax.names if name] if isinstance(syntax, Csv) else None
    if found is None:
        found = [*syntax.kinds(first_rows(path, syntax, LIMIT))]
        if not found:
            raise InputError(
                f"{shown}: no row of it is an object with columns: give such rows, or a text file (.txt) of one entry "
                "a line"
            )
    columns = [*choose(found)]
    with storage.open_read(path) as stream:
        records = enumerate(syntax.records(stream, LIMIT), 1)
        while batch := list(islice(records, BATCH)):
            rows = [_fields(syntax, record, f"{shown}: row {row:,}") for row, record in batch]
            yield [[field_of(row, name) for row in rows] for name in columns]


def _syntax(path: str) -> Syntax:
    return (CSV if path.lower().endswith(CSV.endings) else JSONL).syntax(_file(path))


def _fields(syntax: Syntax, record: Record, place: str) -> dict[str, Any]:
    try:
        if record.data is None:
            raise ValueError(f"{record.size:,} bytes, or a quote that nothing closes")
        return syntax.parse(record.data)
    except ValueError as error:
        raise InputError(
            f"{place}: {error}: mend it, or give a text file (.txt) of one entry a line"
        ) from None


def _batches(file: InputParquet, shown: str, choose: Choose) -> Iterator[list[list[Any]]]:
    schema = file.schema_arrow
    columns = [*choose(schema.names)]
    twice = next((name for name in columns if is_twice(schema, name)), None)
    if twice is not None:
        raise InputError(f"{shown}: has more than one column `{twice}`: leave one of them")
    for group in range(file.num_row_groups):
        rows = batch_rows(file, group, columns, BATCH)
        for batch in file.iter_batches(rows, [group], columns):
            yield [cell_values(batch.column(name)) for name in columns]
