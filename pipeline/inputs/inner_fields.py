"""Fields inside the fields of a JSON object, by the names on the way there: `exif.camera.iso`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DOT = "."
"""Between the names on the way to a field inside a column."""


def field_of(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a field of a JSON object, or of one inside it; None where it has none."""
    if name in fields or DOT not in name:
        return fields.get(name)
    found: Any = fields
    for key in name.split(DOT):
        found = found.get(key) if isinstance(found, dict) else None
    return found
