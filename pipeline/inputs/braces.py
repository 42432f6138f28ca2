"""The names that a pattern with braces stands for: ``{00000..00007}``, ``{a,b}``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from braceexpand import braceexpand

from tamis.schemas.errors import InputError

MAX_DEPTH = 20
"""Braces inside braces."""

_RANGE = re.compile(r"(-?\d{1,19})\.\.(-?\d{1,19})(?:\.\.-?(\d{1,19}))?")
_LONG_NUMBER = re.compile(r"\d{20}")


def names_of(pattern: str, shown: str, limit: int) -> list[str]:
    """The names, in the order of the braces; ``shown`` is the pattern for messages.

    They are counted first: a range is otherwise made as a whole, whatever its length.

    Raises:
        InputError: more than ``limit`` names, braces too deep, or one that is not closed.
    """
    if _count(pattern, shown) > limit:
        raise InputError(f"`{shown}` names more than {limit:,} files: use a glob")
    try:
        return list(braceexpand(pattern, escape=False))
    except ValueError:
        raise InputError(f"`{shown}`: a brace is not closed") from None


@dataclass
class _Brace:
    """A brace that is read: where its text starts; the names of its present alternative, and of the earlier ones."""

    start: int
    names: int = 1
    alternatives: list[int] = field(default_factory=list)


def _count(pattern: str, shown: str) -> int:
    """An upper bound of the names, exact where every brace is closed."""
    open_braces = [_Brace(0)]
    for position, sign in enumerate(pattern):
        top = open_braces[-1]
        if sign == "{":
            if len(open_braces) > MAX_DEPTH:
                raise InputError(f"`{shown[:80]}`: more than {MAX_DEPTH} braces inside each other")
            open_braces.append(_Brace(position + 1))
        elif sign == "," and len(open_braces) > 1:
            top.alternatives.append(top.names)
            top.names = 1
        elif sign == "}" and len(open_braces) > 1:
            open_braces.pop()
            open_braces[-1].names *= _closed(top, pattern[top.start : position])
    product = 1
    for brace in open_braces:
        product *= sum(brace.alternatives) + brace.names
    return product


def _closed(brace: _Brace, text: str) -> int:
    if _LONG_NUMBER.search(text) and ".." in text and "," not in text and "{" not in text:
        return 10**19  # the range, or the step, of a number that no name has
    match = _RANGE.fullmatch(text)
    if match is not None:
        first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
        return abs(last - first) // max(step, 1) + 1
    if re.fullmatch(r"[A-Za-z]\.\.[A-Za-z](\.\.-?\d+)?", text):
        return abs(ord(text[3]) - ord(text[0])) + 1
    return sum(brace.alternatives) + brace.names
