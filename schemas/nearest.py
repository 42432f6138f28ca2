"""Suggestions for mistyped words."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from tamis.schemas.terminal_text import plain

LONGEST = 60
"""Most characters of a word that data give."""


def nearest(word: str, known: Sequence[str], most: int | None = None) -> str:
    """The end of an error about ``word``: ``; did you mean `x`?`` if a known word is close, else all known words.

    ``most``: of known words that data give, and that may be any number and of any length: so many are named, the others
    counted. Empty where none is known.
    """
    if most is not None:
        known = [plain(one, LONGEST) for one in known if one]
    if not known:
        return ""
    matches = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if matches:
        return f"; did you mean `{matches[0]}`?"
    others = f", and {len(known) - most:,} others" if most is not None and len(known) > most else ""
    return f"; known: {', '.join(sorted(known)[:most])}{others}"
