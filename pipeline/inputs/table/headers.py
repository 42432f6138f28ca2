"""Tables of text without a header: the first row is data, and the command that writes one is told."""

from __future__ import annotations

from collections.abc import Sequence

from tamis.pipeline.inputs.suffixes import PICTURES
from tamis.pipeline.store import storage

LONG, SHOWN = 120, 60
"""Characters that no name of a column has, and those that a message shows."""

NAMED = "(printf '{names}\\n'; cat '{path}') > '{made}'"


def missing(path: str, cells: Sequence[str], delimiter: str) -> str | None:
    """A word about a table whose first row has an address or a picture's name, with the mend; None for a header."""
    names = [_name(cell) for cell in cells]
    long = [cell for cell in cells if len(cell) > LONG]
    if not any(names) and (not long or len(cells) == 1):  # one cell alone may be anything
        return None
    others = [number for number, name in enumerate(names) if name is None]
    texts = [number for number in others if len(cells[number]) <= LONG]
    caption = max(texts, key=lambda number: len(cells[number]), default=None)
    made: list[str] = []
    for number, name in enumerate(names):
        word = name or ("caption" if number == caption else "column")
        made.append(word if word not in made and word != "column" else f"{word}_{number + 1}")
    shown = storage.redact(path)
    stem, dot, ending = shown.rpartition(".")
    row = {"\t": "\\t"}.get(delimiter, delimiter).join(made)
    command = NAMED.format(names=row, path=shown, made=f"{stem}-named{dot}{ending}")
    example = next((cell for cell, name in zip(cells, names, strict=True) if name), "".join(long))
    return f"its first row is no header, for it has {example[:SHOWN]}: write one: {command}"


def _name(cell: str) -> str | None:
    """The column to which a cell belongs by its looks."""
    if "://" in cell:
        return "url"
    return "file_name" if cell.lower().endswith(tuple(f".{one}" for one in PICTURES)) else None
