"""Files of captions that a step compares with: parquet, CSV, JSON, or text of one caption a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from tamis.pipeline.steps.shared import cell_tables
from tamis.pipeline.steps.shared.text_lines import lines
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tamis.schemas.tables import find_column

BATCH = 10_000
"""Captions that are read at once."""


def captions(path: str, column: str | None) -> Iterator[list[str]]:
    """The captions of a table, or the lines of a text file that are not empty, some at a time.

    Raises:
        InputError: the table is damaged or has no such column, or the text file is no UTF-8.
    """
    shown = f"`{storage.redact(path)}`"
    if cell_tables.is_table(path, None if column else "text"):
        yield from _cells(path, column, shown)
        return
    texts = (text for _, text in lines(path, shown))
    while batch := list(islice(texts, BATCH)):
        yield batch


def _cells(path: str, column: str | None, shown: str) -> Iterator[list[str]]:
    def chosen(names: list[str]) -> Sequence[str]:
        name = column if column in names else None
        name = name or (find_column("text", names) if column is None else None)
        if name is None:
            raise InputError(
                f"{shown} has no column `{column or 'text'}`; it has {', '.join(names)}: call that of the captions so, "
                "or give a text file (.txt) of one caption a line"
            )
        return [name]

    row = 0
    for (values,) in cell_tables.cells(path, shown, chosen, "a target"):
        for value in values:
            row += 1
            if value is not None and not isinstance(value, str):
                raise InputError(
                    f"{shown}: row {row:,}: a caption is text in UTF-8, and this is {type(value).__name__}"
                )
        yield [text for text in values if text and text.strip()]
