"""Hive's partitions: columns whose one value stands in the path, as in ``lang=en/part-0.parquet``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import unquote

import pyarrow as pa

from tamis.pipeline.inputs.columns import TEXT
from tamis.pipeline.inputs.input_files import InputFile

NOTHING = "__HIVE_DEFAULT_PARTITION__"
"""What stands in a path for null."""


def values(file: InputFile, own: Collection[str]) -> dict[str, str | None]:
    """Name -> value of the partitions that a file's path tells below the entry's fixed prefix; text, as Hive has them.

    A column of the file itself, one of ``own``, hides a partition of its name.
    """
    found: dict[str, str | None] = {}
    for folder in file.relative.split("/")[:-1]:
        name, equals, value = folder.partition("=")
        name, value = unquote(name), unquote(value)
        if name and equals and name not in own:
            found[name] = None if value == NOTHING else value
    return found


def arrays(file: InputFile, rows: int, wanted: Mapping[str, pa.DataType]) -> dict[str, pa.Array]:
    """The partitions among ``wanted`` as columns of n rows; null where another type than text is wanted."""
    return {
        name: pa.array([value if wanted[name] == TEXT else None] * rows, wanted[name])
        for name, value in values(file, ()).items()
        if name in wanted
    }
