"""The cells of CSV as values of columns. CSV has text alone: a column's type is what all its cells can be read as."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs.columns import NUMBER, TEXT, TRUTH, Columns
from tamis.pipeline.inputs.own_types import EXACT

WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
"""Numbers that are written again as they were read: `007` is a name."""

DIGITS = re.compile(r"[+-]?[0-9]{16,4000}")
"""Whole numbers that may be beyond those that a float holds."""

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


def kind_of(cells: Sequence[str | None]) -> pa.DataType:
    """The type of a column of n cells: whole numbers, numbers, truths or text; null where there is no cell."""
    some = [cell for cell in cells if cell is not None]
    if not some:
        return pa.null()
    if all(map(WHOLE.fullmatch, some)):
        return pa.int64()
    if all(number_of(cell) is not None for cell in some):
        return pa.string() if any(map(_is_beyond, some)) else pa.float64()
    if all(cell.lower() in TRUTHS for cell in some):
        return pa.bool_()
    return pa.string()


def _is_beyond(cell: str) -> bool:
    """Whether a cell is a whole number of which a float would lose the last digits."""
    return bool(DIGITS.fullmatch(cell)) and abs(int(cell)) > EXACT


def array(cells: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    """The cells as values of ``kind``; null where a cell says none."""
    if kind == pa.string():
        return pa.array(cells, kind)
    if pa.types.is_null(kind):
        return pa.nulls(len(cells))
    values: list[Any] = []
    for cell in cells:
        if cell is None:
            values.append(None)
        elif kind == pa.bool_():
            values.append(TRUTHS.get(cell.lower()))
        else:
            values.append(int(cell) if kind == pa.int64() else number_of(cell))
    return pa.array(values, kind)


def looked(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """The types of the columns of some first rows, as a job can name them."""
    names = dict.fromkeys(name for row in rows for name in row)
    kinds = {name: kind_of([row.get(name) for row in rows]) for name in names}
    wide = {pa.int64(): NUMBER, pa.float64(): NUMBER, pa.bool_(): TRUTH, pa.string(): TEXT}
    return {name: wide.get(kind, kind) for name, kind in kinds.items()}
