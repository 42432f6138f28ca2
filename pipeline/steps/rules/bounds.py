"""Whether a value passes a bound, for steps that decide and for audits that look at what was decided."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.steps.rules.config import ABOVE_MAXIMUM, BELOW_MINIMUM, NOT_ALLOWED, Bound
from tamis.pipeline.steps.shared.config import NO_VALUE

Mask = npt.NDArray[np.bool_]


def failures(values: pa.Array | list[Any], bound: Bound) -> dict[str, Mask]:
    """Reason -> (n,) True where the value fails for it. Bounds are inclusive; NaN and null are no value.

    A list is for one value or a few: to make an Arrow array of it would import pandas.
    """
    if bound.one_of is not None:
        listed = values if isinstance(values, list) else values.to_pylist()
        there = np.array([value is not None and value == value for value in listed], dtype=bool)  # noqa: PLR0124 - NaN is not
        texts = {_written(choice) for choice in bound.one_of}
        allowed = np.array([_written(value) in texts for value in listed], dtype=bool)
        found = {NOT_ALLOWED: there & ~allowed}
    else:
        numbers = _numbers(values)
        there = ~np.isnan(numbers)
        found = {}
        if bound.min is not None:
            found[BELOW_MINIMUM] = there & (numbers < bound.min)
        if bound.max is not None:
            found[ABOVE_MAXIMUM] = there & (numbers > bound.max)
    if bound.missing == "drop":
        found[NO_VALUE] = ~there
    return found


def failure(value: Any, bound: Bound) -> str | None:
    """Why one value fails; None where it passes. There is one reason at most."""
    return next((why for why, mask in failures([value], bound).items() if mask[0]), None)


def passing_sql(column: str, bound: Bound) -> tuple[str, dict[str, float]]:
    """What ``failures`` finds of numbers, as a condition of DuckDB's that they pass; and its parameters.

    ``column`` is SQL itself. No SQL compares values as they are written: ``in`` is not for it.
    """
    assert bound.one_of is None, "the bounds that can be moved are numbers"
    limits = {"min": bound.min, "max": bound.max}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    signs = {"min": ">=", "max": "<="}
    within = " AND ".join(f"{column}::DOUBLE {signs[name]} ${name}" for name in given)
    missing = "true" if bound.missing == "keep" else "false"
    none = f"{column} IS NULL OR isnan({column}::DOUBLE)"
    return f"CASE WHEN {none} THEN {missing} ELSE {within} END", given


def _numbers(values: pa.Array | list[Any]) -> npt.NDArray[np.float64]:
    """NaN where there is none."""
    if isinstance(values, list):
        return np.array(values, np.float64)
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _written(value: object) -> str:
    """A value as YAML users write it: numbers without a needless point, booleans as words."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
