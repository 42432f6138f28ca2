"""Files of captions that a step compares with: parquet, or text of one caption a line."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader, RawIOBase, TextIOWrapper
from typing import cast

import pyarrow as pa

from tamis.pipeline.store import storage
from tamis.pipeline.store.parquet import ParquetFile
from tamis.schemas.errors import InputError
from tamis.schemas.tables import find_column

BATCH = 10_000
"""Captions that are read at once."""

READ_BUFFER = 1 << 20
"""Bytes of a column that are read at a time: its chunk may be as large as the file."""


def captions(path: str, column: str | None) -> Iterator[list[str]]:
    """The captions of a parquet file, or the lines of a text file that are not empty, some at a time.

    Raises:
        InputError: the parquet file is damaged or has no such column, or the text file is no UTF-8.
    """
    if not path.lower().endswith(".parquet"):
        yield from _lines(path)
        return
    try:
        yield from _cells(path, column)
    except (pa.ArrowException, OSError) as error:
        why = " ".join(str(error).split())[:120]
        raise InputError(
            f"`{storage.redact(path)}`: cannot be read as parquet ({why}): "
            "a target is a parquet file, or a text file of one caption a line"
        ) from None


def _cells(path: str, column: str | None) -> Iterator[list[str]]:
    with (
        storage.open_table(path) as raw,
        ParquetFile(raw, buffer_size=READ_BUFFER) as file,
    ):
        names = file.schema_arrow.names
        name = column if column in names else None
        name = name or (find_column("text", names) if column is None else None)
        if name is None:
            raise InputError(
                f"`{storage.redact(path)}` has no column `{column or 'text'}`; it has {', '.join(names)}"
            )
        for batch in file.iter_batches(BATCH, columns=[name], use_threads=False):
            yield [text for text in batch.column(0).to_pylist() if text]


def _lines(path: str) -> Iterator[list[str]]:
    batch: list[str] = []
    try:
        raw = cast(RawIOBase, storage.open_read(path))
        with TextIOWrapper(BufferedReader(raw), encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    batch.append(line.strip())
                if len(batch) == BATCH:
                    yield batch
                    batch = []
    except UnicodeDecodeError as error:
        raise InputError(
            f"`{storage.redact(path)}`: not UTF-8 ({error.reason} at byte {error.start}): "
            "a target is a parquet file, or a text file of one caption a line"
        ) from None
    if batch:
        yield batch
