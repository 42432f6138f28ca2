"""The test of values against bounds, for steps that decide and for audits of decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.steps.rules.config import ABOVE_MAXIMUM, BELOW_MINIMUM, NOT_ALLOWED, Bound
from tamis.pipeline.steps.shared.config import NO_VALUE

Mask = npt.NDArray[np.bool_]


def failures(values: pa.Array | list[Any], bound: Bound) -> dict[str, Mask]:
    """Reason -> (n,) bool, True where the value fails for it. Bounds are inclusive; NaN and null are no value.

    A list is for one value or a few: an Arrow array of it would import pandas.
    """
    if bound.one_of is not None:
        listed = values if isinstance(values, list) else values.to_pylist()
        present = np.array([value is not None and value == value for value in listed], dtype=bool)  # noqa: PLR0124 - NaN is not
        texts = {_written(choice) for choice in bound.one_of}
        allowed = np.array([_written(value) in texts for value in listed], dtype=bool)
        masks = {NOT_ALLOWED: present & ~allowed}
    else:
        numbers = _numbers(values)
        present = ~np.isnan(numbers)
        masks = {}
        if bound.least is not None:
            masks[BELOW_MINIMUM] = present & (numbers < bound.least)
        if bound.max is not None:
            masks[ABOVE_MAXIMUM] = present & (numbers > bound.max)
    if bound.missing == "drop":
        masks[NO_VALUE] = ~present
    return masks


def failure(value: Any, bound: Bound) -> str | None:
    """The reason for which one value fails, of which there is one at most; None where it passes."""
    return next((why for why, mask in failures([value], bound).items() if mask[0]), None)


def passing_sql(column: str, bound: Bound) -> tuple[str, dict[str, float]]:
    """A condition in DuckDB's SQL that numbers pass the bound, as in ``failures``, and its parameters.

    ``column`` is an SQL expression. Bounds with ``in`` have no such condition: SQL does not compare values as text.
    """
    assert bound.one_of is None, "the bounds that can be moved are numbers"
    limits = {"min": bound.least, "max": bound.max}
    parameters = {name: limit for name, limit in limits.items() if limit is not None}
    signs = {"min": ">=", "max": "<="}
    within = " AND ".join(f"{column}::DOUBLE {signs[name]} ${name}" for name in parameters)
    missing = "true" if bound.missing == "keep" else "false"
    none = f"{column} IS NULL OR isnan({column}::DOUBLE)"
    return f"CASE WHEN {none} THEN {missing} ELSE {within} END", parameters


def _numbers(values: pa.Array | list[Any]) -> npt.NDArray[np.float64]:
    """Values as numbers, (n,), with NaN for null."""
    if isinstance(values, list):
        return np.array(values, np.float64)
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _written(value: object) -> str:
    """A value as YAML users write it: numbers without a needless point, booleans as words."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
