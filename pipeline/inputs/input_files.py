"""An input file, and the files that patterns name, in order.

A file's relative name, not its whole path, goes into uids and results: the same data in another place gives the same
bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from braceexpand import braceexpand

from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of the input. ``relative`` is its path below the entry's fixed prefix, ``kind`` its format's name."""

    entry: str
    relative: str
    path: str
    kind: str
    size: int  # bytes
    stamp: str = ""  # changes when the file is written again; tasks do not ask for it
    image_embeddings: str | None = None  # a .npy, or an .npz#member
    text_embeddings: str | None = None

    @property
    def source(self) -> str:
        """Its name in the ledger."""
        return f"{self.entry}/{self.relative}"


MAX_BRACES = 1_000_000
"""Names that one brace pattern may stand for."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of some patterns, sorted by relative name, and the directory above them all."""

    prefix: str
    files: tuple[storage.File, ...]


def resolve(patterns: Sequence[str]) -> Listing:
    """The files that ``patterns`` name: paths or URLs with globs, ``{0..7}``, ``{a,b}``.

    The prefix is the directory part before the first glob or brace (a plain file's directory); of
    several patterns, the common part of their prefixes. A file that is named twice counts once.

    Raises:
        InputError: a pattern that matches nothing, with the nearest directory and its content.
    """
    prefix = prefix_of(patterns)
    by_name: dict[str, storage.File] = {}
    for pattern in patterns:
        for file in _matches(pattern, prefix):
            by_name[file.relative] = file
    return Listing(prefix, tuple(by_name[name] for name in sorted(by_name)))


def prefix_of(patterns: Sequence[str]) -> str:
    """The directory that the files' relative names start from, whether or not the files exist."""
    return _common([_fixed_prefix(pattern) for pattern in patterns])


def _common(prefixes: list[str]) -> str:
    # Without the scheme: commonpath would make one slash of two.
    scheme, mark, _ = prefixes[0].rpartition("://")
    paths = [prefix.rpartition("://")[2] for prefix in prefixes]
    if any(prefix.rpartition("://")[0] != scheme for prefix in prefixes):
        raise InputError("the paths of one input entry lie on different stores: make two entries")
    return scheme + mark + os.path.commonpath(paths)


def _is_web(pattern: str) -> bool:
    return pattern.startswith(("http://", "https://"))


def _marks(pattern: str) -> str:
    # A question mark begins a web address's query.
    return "*[" if _is_web(pattern) else "*?["


def _is_glob(name: str) -> bool:
    return any(mark in name for mark in _marks(name))


def _fixed_prefix(pattern: str) -> str:
    storage.filesystem(pattern)  # names an unknown store in its error
    plain = re.split(rf"[{{{re.escape(_marks(pattern))}]", pattern, maxsplit=1)[0]
    return storage.parent(storage.absolute(plain + "x"))


def _matches(pattern: str, prefix: str) -> list[storage.File]:
    shown = storage.redact(pattern)
    try:
        names = list(islice(braceexpand(pattern, escape=False), MAX_BRACES + 1))
    except ValueError:
        raise InputError(f"`{shown}`: a brace is not closed") from None
    if len(names) > MAX_BRACES:
        raise InputError(f"`{shown}` names more than {MAX_BRACES:,} files: use a glob")
    files: list[storage.File] = []
    missing: list[str] = []
    listings: dict[str, dict[str, storage.File]] = {}
    for name in names:
        matches = (
            storage.glob(storage.absolute(name), prefix)
            if _is_glob(name)
            else _look_up(name, prefix, listings)
        )
        files += matches
        if not matches:
            missing.append(name)
    if missing:
        rest = f" (one of {len(missing)} missing of {len(names)})" if len(names) > 1 else ""
        problem = "matches nothing" if _is_glob(missing[0]) else "is not there"
        first = storage.redact(missing[0])
        hint = "its server says so" if _is_web(first) else storage.nearest_directory(missing[0])
        raise InputError(f"`{first}` {problem}{rest}: {hint}")
    return files


def _look_up(
    name: str, prefix: str, listings: dict[str, dict[str, storage.File]]
) -> list[storage.File]:
    """The file of one name, by its directory's listing: thousands of names cost one request. A web address is asked
    for itself: a signature in it may allow to read the file, but not to list its directory.
    """
    path = storage.absolute(name)
    if _is_web(name):
        match = storage.find(path)
        return [] if match is None else [_below(match, prefix)]
    folder = storage.parent(path)
    if folder not in listings:
        listings[folder] = {file.path: file for file in storage.files_in(folder)}
    # A listing may lack a file that exists (a hidden one, a web server's).
    file = listings[folder].get(path) or (storage.stat(path) if storage.exists(path) else None)
    if file is None:
        return []
    return [_below(file, prefix)]


def _below(file: storage.File, prefix: str) -> storage.File:
    below = storage.relative(file.path, prefix).partition("?")[0]
    return storage.File(file.path, below, file.size, file.stamp)
