"""Names that the settings of several families of steps share."""

from __future__ import annotations

NO_VALUE = "no_value"
MISSING = {NO_VALUE: "the rule's signal has no value here"}
"""The reason of every step that decides by a signal."""
