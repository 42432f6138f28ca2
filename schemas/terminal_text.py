"""Text for a terminal: what would command it, or show it in another order, is written as escapes.

Captions, keys and names of files come from strangers, and an error's message may quote them.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

JOINERS = {"\u200c", "\u200d"}
"""Invisible characters that scripts and emoji are written with."""

_PLAIN = re.compile(r"[ -~]*")
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


def plain(text: str, limit: int | None = None) -> str:
    """``text`` on one line, with control, direction and unassigned characters written as escapes.

    ``limit`` is in characters; a longer text is cut and ends in "...".
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 3] + "..."
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        repr(character)[1:-1] if _is_hidden(character) else character for character in text
    )


def plain_lines(text: str) -> str:
    """Several lines, each as ``plain`` has it; the colours of another program's log are left out."""
    pieces = re.split(r"([\n\t])", _COLOURS.sub("", text))
    return "".join(piece if piece in {"\n", "\t"} else plain(piece) for piece in pieces)


def as_json(value: Any) -> str:
    """JSON on one line; NaN and infinities, which JSON lacks, are null, and commands to a terminal are escaped."""
    return plain_json(json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and value - value != 0:
        return None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value


def plain_json(text: str) -> str:
    """JSON with such characters as JSON's own escapes: the same values."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(
        _json_escape(character) if _is_hidden(character) else character for character in text
    )


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return (category.startswith("C") or category in {"Zl", "Zp"}) and character not in JOINERS


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
