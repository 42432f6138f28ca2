"""JSON of the input as values, whose nesting is bounded: what reads, types and writes them goes into each level."""

from __future__ import annotations

import json
import sys
from typing import Any

DEPTH = 64
"""Levels of lists and objects inside one another, at most."""

_TOO_DEEP = f"its values are nested too deep: {DEPTH} levels are the limit"


def loaded(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, or nested deeper than DEPTH.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:  # Python reads no longer ones
        raise ValueError(
            f"it has a number of more than {sys.get_int_max_str_digits():,} digits: write it as text, in quotes"
        ) from None
    if text.count("[") + text.count("{") > DEPTH and _is_deep(value):
        raise ValueError(_TOO_DEEP)
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH):
        level = [inner for one in level for inner in _inside(one) if isinstance(inner, dict | list)]
    return bool(level)


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
