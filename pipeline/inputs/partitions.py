"""Columns whose one value stands in the path: Hive's partitions, ``lang=en/part-0.parquet``, and a folder's name.

Below the entry's fixed prefix each directory ``name=value`` is a column; the name of another directory is the column
``label`` of the pictures in it, as Hugging Face calls it. All are text. A column of the file hides one of its name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.inputs.columns import TEXT, Columns
from tamis.pipeline.inputs.input_files import InputFile

NOTHING = "__HIVE_DEFAULT_PARTITION__"
"""What stands in a path for null."""

LABEL = "label"
"""The column of the name of a picture's folder."""


def values(file: InputFile, own: Collection[str]) -> dict[str, str | None]:
    """Name -> value of what a file's path tells, but for names in ``own``, the file's columns."""
    found: dict[str, str | None] = {}
    folders = file.relative.split("/")[:-1]
    for folder in folders:
        name, equals, value = folder.partition("=")
        name, value = unquote(name), unquote(value)
        if name and equals and name not in own:
            found[name] = None if value == NOTHING else value
    is_folder = file.relative.endswith("/") and folders[-1] != "."
    if is_folder and "=" not in folders[-1] and LABEL not in own:
        found.setdefault(LABEL, folders[-1])
    return found


def captions(file: InputFile) -> dict[str, str | None]:
    """Those that the job names for the caption."""
    names = file.reading.names("text")
    if not names or file.reading.captions == "none":
        return {}
    return {name: value for name, value in values(file, ()).items() if name in names}


def known(file: InputFile, own: Columns) -> Columns:
    """The columns of a file, and those of its path."""
    return {**own, **dict.fromkeys(values(file, own), TEXT)}


def arrays(file: InputFile, rows: int, wanted: Mapping[str, pa.DataType]) -> dict[str, pa.Array]:
    """The columns of the path among ``wanted``, of n rows; null where another type than text is wanted."""
    return {
        name: pa.array([value if wanted[name] == TEXT else None] * rows, wanted[name])
        for name, value in values(file, ()).items()
        if name in wanted
    }


def filled(
    file: InputFile, found: Mapping[str, pa.Array], wanted: Mapping[str, pa.DataType]
) -> dict[str, pa.Array]:
    """Columns of n rows, with the path's value where a row has none of its own."""
    rows = len(next(iter(found.values()), ()))
    told = arrays(file, rows, wanted)
    return {n: pc.coalesce(one, told[n]) if n in told else one for n, one in found.items()}


def added(file: InputFile, table: pa.Table, names: Collection[str] | None) -> pa.Table:
    """A table of the file's own columns, and the path's behind them; of ``names`` alone, or all for None."""
    told = values(file, table.column_names)
    wanted = {name: TEXT for name in sorted(told) if names is None or name in names}
    more = arrays(file, table.num_rows, wanted)
    return (
        pa.table({**dict(zip(table.column_names, table.columns, strict=True)), **more})
        if more
        else table
    )
