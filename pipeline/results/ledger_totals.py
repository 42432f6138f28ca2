"""What the ledger's rows come to: drops by step, reason and rule, and the range of each number.

Each bundle's task notes its own, and the manifest has those of all: so nobody reads the ledger to be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.schemas.ledger import LEDGER
from tamis.schemas.manifest import LossCount

LOSSES, RANGES = "losses", "ranges"
"""Names of the notes: rows (step, reason, rule, least bound, largest bound, samples); and (column, least, largest)."""

BY = ("step", "reason", "rule")

DISTANCE = "distance"
"""The one number of every ledger that has a range; all others are the job's own columns."""

Number = int | float
Notes = Mapping[str, list[list[Any]]]


def of_part(ledger: pa.Table) -> Notes:
    """The notes of one part's rows."""
    dropped = ledger.filter(pc.invert(ledger["kept"]))
    counted = dropped.group_by(list(BY), use_threads=False).aggregate(
        [("bound", "min"), ("bound", "max"), ("kept", "count")]
    )
    losses = [
        [*(row[name] for name in BY), row["bound_min"], row["bound_max"], row["kept_count"]]
        for row in counted.to_pylist()
    ]
    names = [name for name in ledger.column_names if name not in LEDGER.names]
    found = [(name, _range(ledger[name])) for name in [*names, DISTANCE]]
    return {LOSSES: losses, RANGES: [[name, *ends] for name, ends in found if ends is not None]}


def _range(column: pa.ChunkedArray) -> tuple[Number, Number] | None:
    """The least and the largest finite value; None without any, or where these are no numbers."""
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
        column = column.filter(pc.is_finite(column))
    elif not pa.types.is_integer(kind):
        return None
    ends = pc.min_max(column).as_py()
    return None if ends["min"] is None else (ends["min"], ends["max"])


def together(notes: Iterable[Notes]) -> Notes:
    """The notes of several as those of one, in an order of their own."""
    losses: dict[tuple[Any, ...], list[Any]] = {}
    ranges: dict[str, list[Any]] = {}
    for note in notes:
        for *key, low, high, samples in note.get(LOSSES, ()):
            known = losses.setdefault(tuple(key), [None, None, 0])
            known[:] = [_least(known[0], low), _most(known[1], high), known[2] + samples]
        for name, low, high in note.get(RANGES, ()):
            known = ranges.setdefault(name, [None, None])
            known[:] = [_least(known[0], low), _most(known[1], high)]
    ordered = sorted(
        losses.items(), key=lambda item: [(part is None, part or "") for part in item[0]]
    )
    return {
        LOSSES: [[*key, *values] for key, values in ordered],
        RANGES: [[name, *ranges[name]] for name in sorted(ranges)],
    }


def _least(one: Number | None, other: Number | None) -> Number | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _most(one: Number | None, other: Number | None) -> Number | None:
    return max((value for value in (one, other) if value is not None), default=None)


def losses(notes: Notes) -> list[LossCount]:
    """Every loss, the largest first; the bound where it is one for all."""
    found = [
        LossCount(
            step=step, reason=reason, rule=rule, bound=low if low == high else None, samples=samples
        )
        for step, reason, rule, low, high, samples in notes[LOSSES]
    ]
    return sorted(found, key=lambda loss: -loss.samples)  # equals stay in their order


def ranges(notes: Notes) -> dict[str, tuple[Number, Number]]:
    """Column -> its least and largest value."""
    return {name: (low, high) for name, low, high in notes[RANGES]}
