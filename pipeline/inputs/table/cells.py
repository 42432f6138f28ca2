"""The cells of CSV as values of columns. CSV has text alone.

In the result a column is of numbers only where each says what stood in its cell, and else the cells' text. A job that
takes a column for a signal reads any number: `1e5` and `+3` too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs import own_types
from tamis.pipeline.inputs.columns import NUMBER, TEXT, TRUTH, Columns
from tamis.pipeline.inputs.own_columns import INT64

WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
"""Whole numbers that are written again as they were read: `007`, `+7` and `-0` are names."""

FRACTION = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")

DIGITS = 15
"""Of a decimal number that a float64 tells from all others."""

TRUTHS = {"true": True, "false": False}


def number_of(cell: str) -> float | None:
    """The number that a cell says; None where it says none. A leading zero makes it a name."""
    if re.match(r"[+-]?0[0-9]", cell) or "_" in cell:
        return None
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_whole(cell: str) -> bool:
    return WHOLE.fullmatch(cell) is not None and (len(cell) < 19 or int(cell) in INT64)


def _is_float(cell: str) -> bool:
    """Whether a float64 has all digits of a cell, and a cell that has an exponent is as the number is written."""
    if _is_whole(cell) or FRACTION.fullmatch(cell):
        return len(cell) <= DIGITS or Decimal(cell) == Decimal(repr(float(cell)))
    number = number_of(cell)
    return number is not None and "e" in cell and repr(number) == cell


def field_of(name: str, cells: Sequence[str | None]) -> pa.Field:
    """The column of n cells: whole numbers, numbers, truths or text; null where there is no cell.

    Of whole numbers of which a float64 has not all digits it is marked.
    """
    some = [cell for cell in cells if cell is not None]
    if not some:
        return pa.field(name, pa.null())
    floats = all(map(_is_float, some))
    if all(map(_is_whole, some)):
        return own_types.marked(pa.field(name, pa.int64()), not floats)
    if floats:
        return pa.field(name, pa.float64())
    if all(cell.lower() in TRUTHS for cell in some):
        return pa.field(name, pa.bool_())
    return pa.field(name, pa.string())


def array(cells: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    """The cells as a job's values of ``kind``: NUMBER, TRUTH or TEXT; null where a cell says none."""
    of = {NUMBER: number_of, TRUTH: lambda cell: TRUTHS.get(cell.lower())}.get(kind, str)
    return pa.array([None if cell is None else of(cell) for cell in cells], kind)


def looked(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """The types of the columns of some first rows, as a job can name them."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _looked([row.get(name) for row in rows]) for name in names}


def _looked(cells: Sequence[str | None]) -> pa.DataType:
    some = [cell for cell in cells if cell is not None]
    if not some:
        return pa.null()
    if all(number_of(cell) is not None for cell in some):
        return NUMBER
    return TRUTH if all(cell.lower() in TRUTHS for cell in some) else TEXT
