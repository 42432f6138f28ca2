"""The test of values against bounds, for steps that decide and for audits of decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.steps.rules.config import (
    ABOVE_MAXIMUM,
    BELOW_MINIMUM,
    NOT_ALLOWED,
    Bound,
    written,
)
from tamis.pipeline.steps.shared.config import NO_VALUE
from tamis.pipeline.tables.columns import Single, rounded

Mask = npt.NDArray[np.bool_]


def failures(values: pa.Array | list[Any], bound: Bound) -> dict[str, Mask]:
    """Reason -> (n,) bool, True where the value fails for it. Bounds are inclusive; NaN and null are no value.

    Values of 32 bits are compared with the bound rounded to 32 bits: 0.26 as a float32 is below 0.26 as a float64, and
    would fail ``min: 0.26``. A list is for one value or a few, those of 32 bits as ``Single``: an Arrow array of it
    would import pandas.
    """
    if bound.one_of is not None:
        listed = values if isinstance(values, list) else values.to_pylist()
        present = np.array([value is not None and value == value for value in listed], dtype=bool)  # noqa: PLR0124 - NaN is not
        texts = set(bound.texts)
        allowed = np.array([written(value) in texts for value in listed], dtype=bool)
        masks = {NOT_ALLOWED: present & ~allowed}
    else:
        numbers, single = _numbers(values)
        present = ~np.isnan(numbers)
        masks = {}
        if bound.least is not None:
            masks[BELOW_MINIMUM] = present & (numbers < _limit(bound.least, single))
        if bound.max is not None:
            masks[ABOVE_MAXIMUM] = present & (numbers > _limit(bound.max, single))
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
    wide, narrow = (
        " AND ".join(f"{column}::DOUBLE {signs[name]} ${name}{bits}" for name in parameters)
        for bits in ("", "_32")
    )
    parameters |= {f"{name}_32": rounded(limit) for name, limit in parameters.items()}
    within = f"CASE WHEN typeof({column}) = 'FLOAT' THEN {narrow} ELSE {wide} END"
    missing = "true" if bound.missing == "keep" else "false"
    none = f"{column} IS NULL OR isnan({column}::DOUBLE)"
    return f"CASE WHEN {none} THEN {missing} ELSE {within} END", parameters


def _numbers(values: pa.Array | list[Any]) -> tuple[npt.NDArray[np.float64], bool | Mask]:
    """Values as numbers, (n,), with NaN for null; and whether they have 32 bits or fewer, each or all."""
    if isinstance(values, list):
        single = np.array([isinstance(value, Single) for value in values], np.bool_)
        return np.array(values, np.float64), single
    numbers = np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
    return numbers, values.type in (pa.float32(), pa.float16())


def _limit(bound: float, single: bool | Mask) -> npt.NDArray[np.float64]:
    """The number that values are compared with: the bound, rounded to 32 bits for values of that width."""
    return np.where(single, rounded(bound), np.float64(bound))
