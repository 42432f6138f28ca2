"""Fields inside the fields of a JSON object, by the names on the way there: `exif.camera.iso`, `conversations.1.value`.

In a list a number picks one value, counted from 0; a name picks the field of that name of each, which is a list again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

DOT = "."
"""Between the names on the way to a field inside a column."""

DIGITS = 6
"""Of a number on the way to a value of a list, at most; a longer one is a name."""


def field_of(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a field of a JSON object, or of one inside it; None where it has none."""
    if name in fields or DOT not in name:
        return fields.get(name)
    found: Any = dict(fields)
    for key in name.split(DOT):
        found = _inner(found, key)
    return found


def place_of(key: str) -> int | None:
    """The place in a list that a name on the way says; None where it says none."""
    return int(key) if key.isascii() and key.isdecimal() and len(key) <= DIGITS else None


def _inner(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    if not isinstance(value, list):
        return None
    place = place_of(key)
    if place is None:
        return [_inner(one, key) for one in value]
    return value[place] if place < len(value) else None


def distinct(names: Sequence[str]) -> list[str]:
    """The names, each once: the second of one name as `lic_2`, or by the next number that is free."""
    taken, seen = set(names), Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        number, one = seen[name], name
        while number > 1 and (one := f"{name}_{number}") in taken:
            number += 1
        taken.add(one)
        found.append(one)
    return found
