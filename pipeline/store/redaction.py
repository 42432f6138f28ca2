"""URLs without what must not be seen: user information, queries and fragments, where passwords and signatures stand.

A password may hold any sign, and a URL that was typed wrong is no URL by any grammar: in doubt more is hidden.
"""

from __future__ import annotations

import re
from typing import Any

_HIDDEN = "***"
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"`<>]*?(?=[:;,.)\]}]*(?:[\s'\"`<>]|$))")
"""A URL in a message, without the punctuation behind it."""


def redact(url: str) -> str:
    """``url`` fit for a message: user information, query and fragment are replaced by ``***``.

    A path without ``://`` stays as it is.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    place, sign, query = _cut(rest)
    if "@" in query and ":" in place.partition("/")[0]:  # maybe a password with a ? in it
        return f"{scheme}://{_HIDDEN}"
    _, at, host = place.rpartition("@")
    return f"{scheme}://{_HIDDEN + at if at else ''}{host}{sign + _HIDDEN if sign else ''}"


def redact_text(text: str) -> str:
    """A message, such as a store's client writes, with every URL in it redacted."""
    return _IN_TEXT.sub(lambda found: redact(found[0]), text)


def without_secrets(value: Any) -> Any:
    """Plain values (maps, lists, strings) with every URL in them as it is without user information and query.

    What may be a glob (``?``) or name a part of a run or file (``#``) stays, but on the web and where a ``=`` follows.
    """
    if isinstance(value, dict):
        return {key: without_secrets(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_secrets(inner) for inner in value]
    if not isinstance(value, str) or "://" not in value:
        return value
    scheme, _, rest = value.partition("://")
    place, sign, query = _cut(rest)
    if "@" in query and ":" in place.partition("/")[0]:
        place, sign, query = _cut(rest.rpartition("@")[2])
    is_query = "=" in query or (sign == "?" and scheme.endswith(("http", "https")))
    return f"{scheme}://{place.rpartition('@')[2]}{'' if is_query else sign + query}"


def _cut(rest: str) -> tuple[str, str, str]:
    """What stands before the first ``?`` or ``#``, that sign, and what follows it."""
    found = re.search(r"[?#]", rest)
    if found is None:
        return rest, "", ""
    return rest[: found.start()], found[0], rest[found.end() :]
