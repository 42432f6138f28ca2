"""URLs without their secrets: user information, queries and fragments, which may hold passwords and signatures.

A password may hold any character, and a mistyped URL follows no grammar: in doubt more is hidden.
"""

from __future__ import annotations

import re
from typing import Any

_HIDDEN = "***"
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"`<>]*?(?=[:;,.)\]}]*(?:[\s'\"`<>]|$))")
"""A URL in a message, without the punctuation behind it."""


def redact(url: str) -> str:
    """``url`` for a message: user information, query and fragment become ``***``.

    A path without ``://`` stays as it is.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    address, sign, query = _cut(rest)
    if "@" in query and ":" in address.partition("/")[0]:  # maybe a password with a ? in it
        return f"{scheme}://{_HIDDEN}"
    _, at, host = address.rpartition("@")
    return f"{scheme}://{_HIDDEN + at if at else ''}{host}{sign + _HIDDEN if sign else ''}"


def redact_text(text: str) -> str:
    """A message, such as one of a store's client, with every URL in it redacted."""
    return _IN_TEXT.sub(lambda match: redact(match[0]), text)


def without_secrets(value: Any) -> Any:
    """Plain values (maps, lists, strings) whose URLs have lost their user information and query.

    Text behind ``?`` (a glob) or ``#`` (a part of a run or file) stays, unless it has a ``=`` or ``?`` is in a web URL.
    """
    if isinstance(value, dict):
        return {key: without_secrets(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_secrets(inner) for inner in value]
    if not isinstance(value, str) or "://" not in value:
        return value
    scheme, _, rest = value.partition("://")
    address, sign, query = _cut(rest)
    if "@" in query and ":" in address.partition("/")[0]:
        address, sign, query = _cut(rest.rpartition("@")[2])
    is_query = "=" in query or (sign == "?" and scheme.endswith(("http", "https")))
    return f"{scheme}://{address.rpartition('@')[2]}{'' if is_query else sign + query}"


def _cut(rest: str) -> tuple[str, str, str]:
    """The text before the first ``?`` or ``#``, that sign, and the text behind it."""
    match = re.search(r"[?#]", rest)
    if match is None:
        return rest, "", ""
    return rest[: match.start()], match[0], rest[match.end() :]
