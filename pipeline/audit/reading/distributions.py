"""Distributions of signals: exact counts in bins, made by DuckDB. Memory holds the bins alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.sql import identifier
from tamis.pipeline.audit.reading.words import number
from tamis.pipeline.steps.shared.audit import Limit
from tamis.schemas.ledger import LEDGER

if TYPE_CHECKING:
    import duckdb

BINS = 48
TAIL = 0.005
"""Share of the samples at either end that may lie outside the bins, so that an outlier does not flatten the rest."""
ROUNDS = 4
"""Times that a range is narrowed, at most; each time by a factor of up to BINS."""

SHARES = (0.9, 0.7, 0.5, 0.3, 0.1)
"""Of the samples with a value: what suggested bounds keep, about."""

FINE = 1_000
"""Bins in which suggested bounds are sought."""

NUMERIC = ("INT", "FLOAT", "DOUBLE", "DECIMAL")


class Histogram(NamedTuple):
    """Counts in bins of equal width from ``low`` to ``high``: (kept, dropped). ``below`` and ``above`` lie outside.

    ``only``: the value, where all samples inside the bins have one and the same.
    """

    low: float
    high: float
    bins: list[tuple[int, int]]
    below: int
    above: int
    total: int
    missing: int
    only: float | None = None


def signals(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The ledger's signals and their DuckDB types: the columns that only this job has."""
    described = connection.execute("DESCRIBE ledger").fetchall()
    return {name: kind for name, kind, *_ in described if name not in LEDGER.names}


def is_numeric(kind: str) -> bool:
    """Tell whether a DuckDB type is numeric."""
    return any(word in kind for word in NUMERIC)


def limits(run: FinishedRun) -> dict[str, list[Limit]]:
    """Signal -> the job's bounds on it."""
    bounds: dict[str, list[Limit]] = {}
    for audit in run.audits.values():
        for limit in audit.limits():
            bounds.setdefault(limit.signal, []).append(limit)
    return bounds


def histogram(
    connection: duckdb.DuckDBPyConnection, column: str, whole: bool, bounds: list[float]
) -> Histogram | None:
    """The distribution of a numeric column; None for a column without values.

    ``whole``: bins hold whole numbers. ``bounds`` always lie inside the bins.
    """
    name = identifier(column)
    least, most, total, rows = connection.execute(
        "SELECT min(value), max(value), count(*), (SELECT count(*) FROM ledger) "
        f"FROM (SELECT {name}::DOUBLE AS value FROM ledger WHERE isfinite({name}::DOUBLE))"
    ).fetchall()[0]
    if not total:
        return None
    low, high = min([least, *bounds]), max([most, *bounds])
    for _ in range(ROUNDS):
        low, high, width = _edges(low, high, whole)
        counted = _count(connection, name, low, width)
        narrow = _narrowed(counted, low, width, total, bounds)
        if narrow is None:
            break
        low, high = narrow
    else:
        low, high, width = _edges(low, high, whole)
        counted = _count(connection, name, low, width)
    bins = [counted.get(i, (0, 0)) for i in range(round((high - low) / width))]
    below = sum(sum(pair) for i, pair in counted.items() if i < 0)
    above = sum(sum(pair) for i, pair in counted.items() if i >= len(bins))
    only = least if least == most else None
    filled = [place for place, pair in enumerate(bins) if sum(pair)]
    if whole and width == 1 and len(filled) == 1:
        only = low + filled[0]
    return Histogram(low, high, bins, below, above, total, rows - total, only)


class Kept(NamedTuple):
    """A bound on a signal, and the share of the samples with a value that it keeps."""

    bound: float
    share: float


def suggestions(
    connection: duckdb.DuckDBPyConnection, column: str, whole: bool, side: str, bound: float
) -> tuple[Kept, list[Kept]] | None:
    """A bound and what it keeps; and bounds that keep about SHARES, the mildest first. None without values.

    The bounds have three digits, and their shares are counted: memory holds bins alone.
    """
    shown = histogram(connection, column, whole, [])
    if shown is None:
        return None
    name = identifier(column)
    width = (shown.high - shown.low) / FINE
    if whole:
        width = max(1, math.ceil(width))
    counted = _count(connection, name, shown.low, width or 1.0, FINE)
    at = [sum(counted.get(i, (0, 0))) for i in range(-1, FINE + 1)]
    found = {bound}
    for share in SHARES:
        wanted, before = share * shown.total, 0
        places = range(FINE + 1) if side == "max" else range(FINE + 1, -1, -1)
        for place in places:
            before += at[place]
            if before >= wanted:
                edge = shown.low + width * (place if side == "max" else place - 1)
                found.add(float(round(edge)) if whole else float(f"{edge:.3g}"))
                break
    bounds = sorted(found, reverse=side == "max")
    sign = "<=" if side == "max" else ">="
    counts = ", ".join(f"count_if(value {sign} {one!r})" for one in bounds)
    rows = connection.execute(
        f"SELECT {counts} FROM (SELECT {name}::DOUBLE AS value FROM ledger WHERE isfinite({name}::DOUBLE))"
    ).fetchall()
    kept = {one: Kept(one, count / shown.total) for one, count in zip(bounds, rows[0], strict=True)}
    return kept[bound], [kept[one] for one in bounds if one != bound]


def _edges(low: float, high: float, whole: bool) -> tuple[float, float, float]:
    """(low, high, width of a bin); of whole numbers each bin holds the same count of them."""
    if whole:
        low = math.floor(low)
        width: float = max(1, math.ceil((high - low + 1) / BINS))
        return low, low + width * math.ceil((high - low + 1) / width), width
    width = (high - low) / BINS if high > low else 1.0
    while low + BINS * width < high:  # by rounding: the largest value would lie outside
        width = math.nextafter(width, math.inf)
    return low, low + BINS * width, width


def _count(
    connection: duckdb.DuckDBPyConnection, name: str, low: float, width: float, bins: int = BINS
) -> dict[int, tuple[int, int]]:
    """Bin number -> (kept, dropped); -1 is all below, ``bins`` all above."""
    # The largest value lies on the last edge and belongs to the last bin.
    rows = connection.execute(
        f"SELECT CASE WHEN value < $low THEN -1 WHEN value > $top THEN {bins} "
        f"ELSE least(floor((value - $low) / $width), {bins - 1})::INTEGER END AS bin, "
        "count_if(kept), count_if(NOT kept) "
        f"FROM (SELECT {name}::DOUBLE AS value, kept FROM ledger WHERE isfinite({name}::DOUBLE)) "
        "GROUP BY bin",
        {"low": low, "width": width, "top": low + bins * width},
    ).fetchall()
    return {bin_: (kept, dropped) for bin_, kept, dropped in rows}


def _narrowed(
    counted: dict[int, tuple[int, int]], low: float, width: float, total: int, bounds: list[float]
) -> tuple[float, float] | None:
    """The range without its thin ends, where that shows the rest twice as large; else None."""
    sizes = [sum(counted.get(i, (0, 0))) for i in range(BINS)]
    first, last = 0, BINS - 1
    left, right = sum(counted.get(-1, (0, 0))), sum(counted.get(BINS, (0, 0)))
    while first < last and left + sizes[first] <= TAIL * total:
        left += sizes[first]
        first += 1
    while last > first and right + sizes[last] <= TAIL * total:
        right += sizes[last]
        last -= 1
    start = min([low + first * width, *bounds])
    end = max([low + (last + 1) * width, *bounds])
    return (start, end) if end - start <= BINS * width / 2 else None


def describe(shown: Histogram) -> str:
    """Samples of the one value, and those outside the bins, in words; "" where there is nothing to say."""
    inside = sum(map(sum, shown.bins))
    same = [] if shown.only is None else [f"{inside:,} with {number(shown.only)}"]
    outside = [
        f"{count:,} {words}"
        for count, words in (
            (shown.below, f"below {number(shown.low)}"),
            (shown.above, f"above {number(shown.high)}"),
            (shown.missing, "without a value"),
        )
        if count
    ]
    return ", ".join([*same, *outside])
