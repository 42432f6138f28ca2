"""Groups of samples: their names, in order and numbered, and the groups above them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.choosing import group_quotas
from tamis.pipeline.algorithms.choosing.group_quotas import Level
from tamis.pipeline.steps.shared.cell_tables import cells
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, JobError

MOST_GROUPS = 1_000_000
"""Groups of a step, at most: a worker holds them, in some hundred bytes each and their names."""

GROUP_BYTES = 100
"""Bytes of a group beside its name, about: sums, weight, capacity and quota, and their order."""

FRACTION = 2.0**30
"""Parts of one in which fractions are summed: whole numbers, so that a sum is the same in any order."""

LARGEST = 2.0**31
"""Values of a signal whose mean is a weight lie below it; then sums of a thousand million of them are exact."""

COUNTED = ("size", "valued", "whole", "fraction")
"""Sums over a group's samples: how many they are, how many have a value of the signal that weighs groups, and these
values' whole numbers and fractions.
"""

WEIGHT = "weight"

SPREAD = 1e100
"""Weights after `power`, and one divided by them, lie below it: their sums and ratios are numbers then."""


def level_names(count: int) -> list[str]:
    """The columns of a table of groups that hold their names, from the first level."""
    return [f"level_{number}" for number in range(count)]


def names(values: pa.Array, step: str, signal: str) -> pa.Array:
    """The group of each value as text (n,), null where there is none.

    Raises:
        JobError: numbers with fractions, or too large to be told apart, which are no names of groups.
    """
    if pa.types.is_boolean(values.type):
        return pc.if_else(values, "true", "false")
    if not pa.types.is_floating(values.type):
        return values.cast(pa.string())
    numbers = np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    known = np.isfinite(numbers)
    broken = known & ((numbers != np.floor(numbers)) | (np.abs(numbers) >= 2.0**53))
    if broken.any():
        first = numbers[broken.argmax()]
        what = "numbers of 2**53 and more" if first == np.floor(first) else "fractions"
        raise JobError(
            f"{step}: by: {signal} has {what} ({first:g}): groups are named by text, true/false or whole numbers: "
            "choose by it with `score`, or name another"
        )
    whole = pa.array(np.where(known, numbers, 0).astype(np.int64), mask=~known)
    return whole.cast(pa.string())


def summed(tables: Iterable[pa.Table], levels: Sequence[str]) -> pa.Table:
    """The groups of all tables, in the order of their names, with the sums of COUNTED.

    Raises:
        JobError: more than a worker holds.
    """
    waiting: list[pa.Table] = []
    rows = 0
    whole: pa.Table | None = None
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        if rows > 4 * MOST_GROUPS:
            whole, rows = grouped([*filter(None, [whole]), *waiting], levels), 0
            waiting = []
    found = grouped([*filter(None, [whole]), *waiting], levels)
    if found.num_rows > MOST_GROUPS:
        raise JobError(
            f"more than {MOST_GROUPS:,} groups ({found.num_rows:,}): name a coarser column in `by`"
        )
    return found.sort_by([(name, "ascending") for name in levels]).combine_chunks()


def grouped(tables: Sequence[pa.Table], levels: Sequence[str]) -> pa.Table:
    """A row for each group of some tables, in any order, with the sums of COUNTED."""
    joined = pa.concat_tables(tables)
    sums = joined.group_by(list(levels), use_threads=False).aggregate(
        [(name, "sum") for name in COUNTED]
    )
    columns = [*levels, *(f"{name}_sum" for name in COUNTED)]
    return sums.select(columns).rename_columns([*levels, *COUNTED])


def numbers(groups: pa.Table, wanted: pa.Table, levels: Sequence[str]) -> npt.NDArray[np.int64]:
    """The number of the group of each row, int64 (n,), by its position in ``groups``."""
    numbered = groups.select(levels).append_column("number", pa.array(np.arange(groups.num_rows)))
    rows = wanted.select(levels).append_column("at", pa.array(np.arange(wanted.num_rows)))
    joined = rows.join(numbered, list(levels), use_threads=False)
    found = np.empty(wanted.num_rows, np.int64)
    found[joined["at"].to_numpy()] = joined["number"].to_numpy()
    return found


def labels(groups: pa.Table, by: Sequence[str]) -> list[str]:
    """Each group's name for people: ``language=de``, with several levels ``source=web, language=de``."""
    columns = [groups[name].to_pylist() for name in level_names(len(by))]
    return [
        ", ".join(f"{name}={value[:80]}" for name, value in zip(by, values, strict=True))
        for values in zip(*columns, strict=True)
    ]


def reaches(mean: npt.NDArray[np.float64], least: float) -> npt.NDArray[np.bool_]:
    """(K,) True for means that are at least this, to the digits of a float32, and to the parts of FRACTION.

    A value of 0.26 in a column of 32 bits is below 0.26, and so is the mean of equal values that are summed in parts.
    """
    if not math.isfinite(least):
        return mean >= least
    digits = float(np.spacing(np.float32(min(abs(least), LARGEST))))
    return mean >= least - digits - 1 / FRACTION


def means(
    groups: pa.Table, step: str, signal: str, by: Sequence[str], least: float | None = None
) -> npt.NDArray[np.float64]:
    """The mean of the signal in each group, float64 (K,).

    Raises:
        JobError: it is below 0 in a group, though not below ``least``, or no sample of it has a value.
    """
    whole, fraction, count = (groups[name].to_numpy() for name in ("whole", "fraction", "valued"))
    mean: npt.NDArray[np.float64] = (whole + fraction / FRACTION) / np.maximum(count, 1)
    kept = reaches(mean, -np.inf if least is None else least)
    bad = np.flatnonzero((count == 0) | ((mean < 0) & kept))
    if len(bad):
        what = f"a mean of {mean[bad[0]]:g}" if count[bad[0]] else "no value"
        raise JobError(
            f"{step}: weights: {signal} has {what} in the group {labels(groups, by)[bad[0]]}, and a weight is a number "
            "from 0 on: weigh by another signal, or leave such groups out (`least`)"
        )
    return mean


def file_weights(path: str, groups: pa.Table, by: Sequence[str]) -> npt.NDArray[np.float64]:
    """The weight of each group in a table of CSV or parquet, float64 (K,).

    Raises:
        InputError: a column or a group is missing, a group stands twice, or a weight is no number from 0 on.
    """
    known: dict[tuple[str, ...], float] = {}
    for row in _rows(path, by):
        name, text = tuple(row[:-1]), row[-1]
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        shown = f"`{storage.redact(path)}`: {', '.join(name)}"
        if not (math.isfinite(weight) and weight >= 0):
            raise InputError(f"{shown}: its weight is `{text}`: a number from 0 on is needed")
        if name in known:
            raise InputError(f"{shown}: stands there twice: leave one row of it")
        known[name] = weight
    weights = []
    columns = (groups[name].to_pylist() for name in level_names(len(by)))
    for group in zip(*columns, strict=True):
        if group not in known:
            raise InputError(
                f"`{storage.redact(path)}`: has no row for the group {', '.join(group)}: add one; weight 0 keeps "
                "none of it"
            )
        weights.append(known[group])
    return np.array(weights, np.float64)


def _rows(path: str, by: Sequence[str]) -> Iterator[list[str]]:
    """The names of each group, level by level, and its weight, all as text."""
    wanted, shown = [*by, WEIGHT], f"`{storage.redact(path)}`"
    if path.lower().endswith(".parquet"):

        def chosen(names: list[str]) -> Sequence[str]:
            _places(names, wanted, shown)
            return wanted

        for columns in cells(path, shown, chosen, "a table of weights"):
            yield from (list(map(_text, row)) for row in zip(*columns, strict=True))
        return
    try:
        text = storage.read_bytes(path).decode("utf-8-sig")
        header, *rows = [row for row in csv.reader(StringIO(text, ""), strict=True) if row] or [[]]
    except UnicodeDecodeError as error:
        raise InputError(
            f"{shown}: not UTF-8 ({error.reason} at byte {error.start}): weights are CSV or parquet"
        ) from None
    except csv.Error as error:
        raise InputError(f"{shown}: cannot be read as CSV ({error}): mend that row") from None
    places = _places(header, wanted, shown)
    for row in rows:
        if len(row) != len(header):
            raise InputError(f"{shown}: a row has {len(row)} of {len(header)} cells")
        yield [row[place] for place in places]


def _places(header: Sequence[str], wanted: Sequence[str], shown: str) -> list[int]:
    """The positions of the wanted columns.

    Raises:
        InputError: one is missing, or stands twice.
    """
    for name in wanted:
        if name not in header:
            raise InputError(
                f"{shown}: has no column `{name}`; it has {', '.join(header) or 'none'}: weights need "
                f"{', '.join(wanted)}"
            )
        if header.count(name) > 1:
            raise InputError(f"{shown}: has more than one column `{name}`: leave one of them")
    return [header.index(name) for name in wanted]


def _text(value: object) -> str:
    """A cell as the names of groups are written."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def tree(
    groups: pa.Table,
    weight: npt.NDArray[np.float64] | None,
    power: float,
    capacity: npt.NDArray[np.int64],
    depth: int,
) -> list[Level]:
    """The levels of groups, the last of which are ``groups``; a group above weighs what those below it weigh together.

    ``weight``: float64 (K,) of the groups, None for equal weights at every level.
    """
    columns = level_names(depth)
    names = [groups[name].to_pylist() for name in columns]
    above = np.zeros(groups.num_rows, np.int64)
    levels = []
    for number in range(depth):
        changes = np.ones(groups.num_rows, bool)
        values = np.array(names[number], object)
        changes[1:] = (values[1:] != values[:-1]) | (above[1:] != above[:-1])
        own = np.cumsum(changes) - 1
        count = int(changes.sum())
        of = np.ones(groups.num_rows) if weight is None else weight
        total = np.bincount(own, weights=of, minlength=count)
        with np.errstate(over="ignore", under="ignore"):  # `check_spread` tells
            weights = np.ones(count) if weight is None else np.asarray(total**power, np.float64)
        usable = np.zeros(count, np.int64)
        np.add.at(usable, own, np.where(of > 0, capacity, 0))
        levels.append(Level(above[changes], weights, usable))
        above = own
    return levels


def check_spread(
    step: str, levels: Sequence[Level], weight: npt.NDArray[np.float64] | None
) -> None:
    """Refuse weights whose shares are no numbers, or which their power makes 0.

    Raises:
        JobError: they are.
    """
    for level in levels:
        some = level.weight[level.weight > 0]
        lost = level is levels[-1] and weight is not None and len(some) < (weight > 0).sum()
        if lost or (len(some) and not 1 / SPREAD < some.min() <= some.max() < SPREAD):
            raise JobError(
                f"{step}: weights are {some.min(initial=math.inf):g} to {some.max(initial=0.0):g} after `power`, and "
                f"they have to lie between {1 / SPREAD:g} and {SPREAD:g}: give them in another unit, or lower `power`"
            )


def solved(levels: Sequence[Level], total: int | None) -> npt.NDArray[np.int64]:
    """The quotas of the last level's groups, int64 (K,); without a total their capacities."""
    if total is None:
        return levels[-1].capacity
    return group_quotas.by_level(list(levels), total)
