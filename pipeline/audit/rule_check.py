"""One sample's values against a rule's bounds, as the step ``rules`` compares them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pipeline.audit.finished import Row
from schemas.steps import Bound, Rules


def checked(row: Row, config: Rules, names: Sequence[str]) -> list[dict[str, Any]]:
    """Each of the bounds ``names``, the value in a ledger row, and whether it passes."""
    return [_rule(name, config.bounds[name], row.get(name)) for name in names]


def _rule(signal: str, bound: Bound, value: Any) -> dict[str, Any]:
    limits = bound.model_dump(by_alias=True, exclude_none=True)
    return {"rule": signal, "value": value, **limits, "passes": passes(value, bound)}


def passes(value: Any, bound: Bound) -> bool:
    """Whether one value meets a bound, as the step ``rules`` sees it: inclusive, null and NaN being no value."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return bound.missing == "keep"
    if bound.one_of is not None:
        return _written(value) in {_written(choice) for choice in bound.one_of}
    above = bound.min is None or float(value) >= bound.min
    return above and (bound.max is None or float(value) <= bound.max)


def _written(value: Any) -> str:
    """A value as a job writes it: 1 for 1.0, true for True."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
