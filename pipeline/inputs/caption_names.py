"""Columns that may hold captions, by their names."""

from __future__ import annotations

from collections.abc import Iterable

WORDS = (
    *(
        "caption",
        "text",
        "title",
        "desc",
        "prompt",
        "alt",
        "sentence",
        "label",
        "convers",
        "messag",
    ),
    "capt",
)
"""Pieces of the names that columns of captions have, the likelier first."""


def likely(names: Iterable[str]) -> list[str]:
    """Those of the names that speak for captions, the likeliest first."""
    met = {name: [word for word in WORDS if word in name.lower()] for name in names}
    found = (name for name, words in met.items() if words)
    return sorted(found, key=lambda name: WORDS.index(met[name][0]))
