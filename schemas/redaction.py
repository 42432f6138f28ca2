"""URLs without their secrets: user information, queries and fragments, which may hold passwords and signatures.

A password may hold any character, and a mistyped URL follows no grammar: in doubt more is hidden. What a URL of this
process has hidden once is hidden in every later text, however a client of a store writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

_HIDDEN = "***"
_NO_SCHEME = re.compile(r"[^A-Za-z0-9+.-]")
_BEHIND = re.compile(r"[\s'\"`<>]")
_PUNCTUATION = ":;,.)]}"

LEAST_SECRET, LEAST_NAME = 4, 8
"""Characters of a password, and of a name or a query's value, from which they are looked for in texts: shorter ones are
parts of other words.
"""

_noted: set[str] = set()


def note_secrets(url: str) -> None:
    """Hide a URL's user information and query in every text from now on."""
    scheme, mark, rest = url.rpartition("://")
    if not mark:
        return
    before, at, _ = rest.rpartition("@")
    found: list[str] = []
    if at:
        name, colon, password = before.partition(":")
        found += [before] if colon else []
        found += [name] if len(name) >= LEAST_NAME else []
        found += [password] if len(password) >= LEAST_SECRET else []
        # A password with a slash in it is quoted in pieces: up to the slash it looks like a bucket.
        found += [piece for piece in re.split(r"[/@]", before) if len(piece) >= LEAST_NAME]
        found += [piece for piece in password.split("/") if len(piece) >= LEAST_SECRET]
    if scheme.endswith(("http", "https")):
        query = _cut(rest)[2]
        found += [query, *(pair.partition("=")[2] for pair in re.split(r"[&;]", query))]
    for secret in found:
        if len(secret) >= LEAST_SECRET and (secret == before or len(secret) >= LEAST_NAME or at):
            _noted.update((secret, unquote(secret), quote(secret, safe="")))


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
    """A message, such as one of a store's client, with every URL in it redacted, and every secret that is known."""
    pieces, done = [], 0
    for start, end in _urls(text):
        pieces += [text[done:start], redact(text[start:end])]
        done = end
    return hide_known("".join([*pieces, text[done:]]))


def _urls(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each URL in a message, without the punctuation behind it.

    In time that grows with the text alone: a message may quote what a stranger has written, at any length.
    """
    done = 0
    while (mark := text.find("://", done)) >= 0:
        before = text[done:mark]
        scheme = _NO_SCHEME.split(before)[-1].lstrip("0123456789+.-")
        done = mark + 3
        if not scheme:
            continue
        behind = _BEHIND.search(text, done)
        end = behind.start() if behind else len(text)
        done += len(text[done:end].rstrip(_PUNCTUATION))
        yield mark - len(scheme), done


def hide_known(text: str) -> str:
    """``text`` without the secrets of this process's own addresses; other URLs, such as a sample's, stay."""
    for secret in sorted(_noted, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def without_secrets(value: Any) -> Any:
    """Plain values (maps, lists, strings) whose URLs have lost their user information and query.

    Text behind ``?`` (a glob) or ``#`` (a part of a run or file) stays, unless it has a ``=`` or is a web URL's query.
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
