"""Sizes and aspect ratios that are odd against the pool: the tasks of `counts` that find them.

A part sends a row for each of its different values, of which there are 1,024 at most between a number and its double.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms import oddness as odd
from tamis.pipeline.steps.counts.config import ODD_ASPECT, ODD_SIZE
from tamis.pipeline.steps.shared.passes import batches
from tamis.pipeline.tasks.task import TaskIo

LEAST = 0.01
"""An interquartile range is at least this share of the lower quartile, or this much in a ratio's logarithm."""

HELD_ROWS = 1 << 18
"""Rows of parts that are added together at once."""

_SHAPES = pa.schema([("name", pa.string()), ("value", pa.float64()), ("count", pa.int64())])

Usual = Mapping[str, tuple[float, float]]
"""What is odd -> the quartiles of the pool."""


@dataclass(frozen=True)
class Counting:
    """Arguments of ``count`` and ``usual``."""

    names: Sequence[str]


def count(io: TaskIo[Counting]) -> Iterator[pa.Table]:
    """(name, value, count) of one part: each different value of its living samples."""
    tables = []
    for name, measured in _measured(io, io.args.names).items():
        different, counts = np.unique(measured[~np.isnan(measured)], return_counts=True)
        tables.append(_table(name, different, counts))
    yield pa.concat_tables(tables)


def _table(name: str, different: odd.Values, counts: npt.NDArray[np.int64]) -> pa.Table:
    return pa.table([pa.array([name] * len(different)), different, counts], _SHAPES)


def _measured(io: TaskIo[Any], names: Sequence[str]) -> dict[str, odd.Values]:
    """For each name the value of every living sample, in steps; NaN where a side is unknown or 0."""
    table = io.read("ingest", ["width", "height"]).take(pa.array(io.living_rows()))
    width, height = (
        table[side].cast(pa.float64()).fill_null(0.0).to_numpy() for side in ("width", "height")
    )
    known = (width > 0) & (height > 0)
    width, height = np.where(known, width, 1.0), np.where(known, height, 1.0)
    values = {ODD_SIZE: np.sqrt(width * height), ODD_ASPECT: width / height}
    return {name: np.where(known, odd.stepped(values[name]), np.nan) for name in names}


def usual(io: TaskIo[Counting]) -> Iterator[pa.Table]:
    """(name, low, high): the quartiles over the whole pool; no row where no sample has a value."""
    held = {name: (np.zeros(0), np.zeros(0, np.int64)) for name in io.args.names}
    for table in batches(io, "shapes", HELD_ROWS):
        for name, before in held.items():
            own = table.filter(pc.equal(table["name"], name))
            more = (own[column].to_numpy() for column in ("value", "count"))
            both = (np.concatenate(pair) for pair in zip(before, more, strict=True))
            held[name] = odd.added_up(*both)
    found = [(name, *odd.quartiles(*counted)) for name, counted in held.items() if len(counted[0])]
    names, low, high = zip(*found, strict=True) if found else ((), (), ())
    numbers = {"low": pa.array(low, pa.float64()), "high": pa.array(high, pa.float64())}
    yield pa.table({"name": pa.array(names, pa.string()), **numbers})


def known(table: pa.Table) -> Usual:
    """The quartiles that ``usual`` found."""
    rows = table.to_pylist()
    return {row["name"]: (row["low"], row["high"]) for row in rows}


def oddness(io: TaskIo[Any], names: Sequence[str], quartiles: Usual) -> dict[str, pa.Array]:
    """For each name how odd each living sample of a part is; null where its sides are unknown."""
    found = {}
    for name, measured in _measured(io, names).items():
        low, high = quartiles.get(name, (1.0, 1.0))  # without quartiles no sample has a value
        if name == ODD_ASPECT:
            away = odd.distance(_logs(measured), math.log(low), math.log(high), LEAST)
        else:
            away = odd.distance(measured, low, high, LEAST * low)
        found[name] = pa.array(away, mask=np.isnan(measured))
    return found


def _logs(values: odd.Values) -> odd.Values:
    """Natural logarithms by libm: NumPy's own may differ by the processor in the last bit."""
    different, place = np.unique(values, return_inverse=True)
    return np.array([math.log(value) for value in different.tolist()])[place]
