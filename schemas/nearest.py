"""Suggestions for mistyped words."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of an error about ``word``: ``; did you mean `x`?`` if a known word is close, else all known words."""
    matches = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean `{matches[0]}`?" if matches else f"; known: {', '.join(sorted(known))}"
