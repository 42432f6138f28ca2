"""The known word that a mistyped one was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, known: Sequence[str]) -> str:
    """``; did you mean `x`?`` where something is near, else the list of what is known."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean `{near[0]}`?" if near else f"; known: {', '.join(sorted(known))}"
