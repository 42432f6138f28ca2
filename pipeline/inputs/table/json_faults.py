"""Records that are no JSON objects: the reason, with the mend where it is known, and where the next record begins."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from json import JSONDecodeError

from tamis.pipeline.inputs.other_formats import unmarked

PYTHON = "it is written as Python shows it, in single quotes: write JSON, by json.dumps"

RETURNS = "its lines end in \\r alone: write \\n for it first (tr '\\r' '\\n')"

SHOWN = 20
"""Characters of what stands where nothing should."""


def of_line(data: bytes, error: JSONDecodeError) -> str:
    """Of a line of JSON lines."""
    line = data.strip()
    if b"\r" in line:
        return RETURNS
    if line.startswith(b"{'"):
        return PYTHON
    if line in (b"{", b"["):
        return "its objects stand over several lines: write one a line (jq -c .)"
    if error.msg == "Extra data" and line.startswith(b"{"):
        return _of_rest(error.doc[error.pos :].strip())
    if "control character" in error.msg and error.pos >= len(error.doc.rstrip("\r\n")):
        return "the line ends inside of quotes: close them; in a text the end of a line is written as \\n"
    return unmarked(data) or str(error)


def _of_rest(rest: str) -> str:
    """Of what stands behind the object of a line."""
    if rest == ",":
        return "the line ends in a comma: take it away (sed 's/, *$//'), or write a list, in brackets, as .json"
    if rest.startswith(("{", ",")):
        return "several objects stand in one line: write one a line (jq -c .)"
    return f"behind its object stands {rest[:SHOWN]!r}: take it away"


def of_value(data: bytes, error: JSONDecodeError) -> str:
    """Of a value of a JSON list."""
    if data.startswith(b"{'"):
        return PYTHON
    rest = error.doc[error.pos : error.pos + SHOWN]
    if error.msg == "Extra data" and data.startswith(b"{"):
        if rest.startswith("{"):
            return "no comma stands between two objects of the list: write one"
        return f"behind its object stands {rest!r}: take it away"
    if error.msg.startswith("Unterminated string"):
        return f"nothing closes the quote at character {error.pos + 1:,}"
    if error.pos >= len(error.doc.rstrip()):
        return "nothing closes a bracket in it: write the missing one before the next object"
    return str(error)


BEGIN = re.compile(rb'\{\s*("(?:[^"\\\x00-\x1f]|\\.)*")\s*:')
"""The begin of an object, with its first key."""

KEY = re.compile(r'\s*[{,]\s*("(?:[^"\\\x00-\x1f]|\\.)*")\s*:\s*')
"""A key of an object, with what stands before and behind it."""

LEARNT = 100
"""Objects whose keys are looked at."""

STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)

CUT_WORD = 16
"""Bytes before the end of a part of JSON in which an error may come of a word or an escape that is cut there."""


def first_key(data: bytes) -> bytes | None:
    """The first key of an object as it is written, with its quotes; None where it has none."""
    found = BEGIN.match(data)
    return None if found is None else found[1]


class Known:
    """The keys of a list's first sound objects, by which one that follows is told from one inside of another."""

    def __init__(self) -> None:
        self._seen, self._some, self._all = 0, set[str](), set[str]()

    def learn(self, data: bytes) -> None:
        """Look at an object of the list; a damaged one, or what is none, says nothing."""
        if self._seen == LEARNT:
            return
        try:
            found = json.loads(data.decode("latin-1"))
        except (ValueError, RecursionError):
            return
        if isinstance(found, dict):
            self._seen += 1
            self._some |= found.keys()
            self._all = self._all & found.keys() if self._seen > 1 else set(found)

    def is_one(self, text: str, at: int) -> bool:
        """Whether the object that begins at a place of a value has most of them, and hardly others; of an object whose
        end is not there its first keys say it. Where no sound object is known yet, the value's own keys count.
        """
        keys, whole = _keys(text, at)
        some, all_ = (self._some, self._all) if self._seen else (_keys(text, 0)[0],) * 2
        common = len(keys & all_) * 2 > len(all_) if whole else len(keys) > 1
        return (common or keys >= all_) and len(keys & some) * 2 > len(keys)


def _keys(text: str, at: int) -> tuple[set[str], bool]:
    """The keys of an object that begins at a place of a text, and whether all of it is there."""
    found, whole = set[str](), False
    decoder, place = json.JSONDecoder(), at
    with suppress(ValueError, RecursionError):
        while (key := KEY.match(text, place)) is not None:
            found.add(json.loads(key[1]))
            _, place = decoder.raw_decode(text, key.end())
        whole = text[place:].lstrip(" \t\r\n")[:1] == "}"
    return found, whole


def next_object(
    data: bytes, key: bytes, known: Known, *, ended: bool, left_open: bool = False
) -> int | None:
    """The place of the comma behind which, in a damaged value of a list, another object with that first key begins.

    None where there is none, or the value is sound; if it has not ``ended``, as far as it goes. Where a bracket is
    ``left_open``, so that each object behind it stands inside of the value, it is one with the keys of those before it.
    """
    again = re.compile(rb",\s*(\{\s*" + re.escape(key) + rb"\s*:)")
    if not key or data.count(b"{") < 2 or again.search(data, 1) is None:
        return None
    text = data.decode("latin-1")  # a character a byte: what is no ASCII stands inside of strings
    damage = _damage(text, ended=ended)
    if damage is None and not left_open:
        return None
    damage = damage or 0
    found = (one for one in again.finditer(data, 1) if one.start(1) >= damage)
    alike = (one.start() for one in found if damage or known.is_one(text, one.start(1)))
    return next(alike, None)


def _damage(text: str, *, ended: bool) -> int | None:
    """The place at which a value stops being JSON; of a string that ends where none should, its begin. 0 where nothing
    is wrong but that its end is missing: that may have been anywhere.
    """
    try:
        json.loads(text)
    except JSONDecodeError as error:
        cut = error.msg.startswith("Unterminated string") or error.pos >= len(text) - CUT_WORD
        if cut and not ended:
            return None
        if error.pos >= len(text.rstrip()):
            return 0
        before = text[: error.pos].rstrip()
        *_, last = (0, 0), *(one.span() for one in STRING.finditer(before))
        return last[0] if last[1] == len(before) else error.pos
    except (ValueError, RecursionError):  # numbers of thousands of digits, or values nested as deep
        pass
    return None
