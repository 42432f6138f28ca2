"""Parquet files of a list that a step compares with: their cells, in batches whose bytes are bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

from tamis.pipeline.inputs.parquet.batch_size import batch_rows
from tamis.pipeline.inputs.parquet.batches import cell_values
from tamis.pipeline.inputs.parquet.file import BROKEN, InputParquet, open_parquet
from tamis.pipeline.inputs.parquet.leaves import is_twice
from tamis.pipeline.store.damage import require_content
from tamis.schemas.errors import InputError

BATCH = 10_000
"""Rows that are read at once, at most."""

Choose = Callable[[list[str]], Sequence[str]]
"""The columns to read, of the names of all; raises an InputError where it finds none."""


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
        InputError: it is gone, damaged or no parquet, has a column twice, or as ``choose``.
        MemoryError, StorageError: the machine's fault, and not the file's.
    """
    try:
        with closing(open_parquet(path)) as file:
            yield from _batches(file, shown, choose)
    except BROKEN as error:
        require_content(error, path)
        why = " ".join(str(error).split())[:120]
        raise InputError(
            f"{shown}: cannot be read as parquet ({why}): {wanted} is parquet, or a text file of one entry a line"
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
