"""A directory in the place of files: all below it whose endings are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tamis.pipeline.inputs.unread import advice
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError

LOOKED_AT = 10_000
"""Files below a directory that are looked at to see which endings there are."""

NAMED = 5
"""Endings that a message names."""


def expanded(patterns: Sequence[str], endings: Sequence[str]) -> list[str]:
    """The patterns, a directory replaced by the patterns of the files below it whose ending is one of ``endings``.

    Raises:
        InputError: a directory has none; the message says what it has.
    """
    made: list[str] = []
    for pattern in patterns:
        made += _of_folder(pattern, endings) if is_folder(pattern) else [pattern]
    return made


def is_folder(pattern: str) -> bool:
    """Whether a path without globs is a directory."""
    if pattern.startswith(("http://", "https://")) or any(mark in pattern for mark in "*?[{"):
        return False
    return storage.is_folder(pattern)


def _of_folder(folder: str, endings: Sequence[str]) -> list[str]:
    base = folder.rstrip("/") or "/"
    met = Counter(_ending(path) for path, _ in zip(_below(base), range(LOOKED_AT), strict=False))
    found = [ending for ending in endings if met[ending]]
    if found:
        return [f"{base}/**/*{ending}" for ending in found]
    shown = storage.redact(folder)
    if not met:
        raise InputError(
            f"`{shown}`: a directory without files: name one that has {' or '.join(endings)}"
        )
    named = ", ".join(
        f"{count:,} {ending or 'without ending'}" for ending, count in met.most_common(NAMED)
    )
    mend = (
        advice(f"{base}/NAME{met.most_common(1)[0][0]}")
        or f"name one that has {' or '.join(endings)}"
    )
    raise InputError(f"`{shown}`: a directory of {named}: {mend}")


def _ending(path: str) -> str:
    name = path.rpartition("/")[2].lower()
    dot = name.rfind(".tar.") if ".tar." in name else name.rfind(".")
    return name[dot:] if dot > 0 else ""


def _below(folder: str) -> Iterator[str]:
    """The files below a directory, one directory after another; hidden ones are left out."""
    yield from (file.path for file in storage.files_in(folder))
    for name in storage.folders_in(folder):
        yield from _below(f"{folder}/{name}")
