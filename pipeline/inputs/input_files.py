"""An input file, and the files that patterns name, in order.

A file's relative name, not its whole path, goes into uids and results: the same data in another place gives the same
bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from tamis.pipeline.inputs.braces import names_of
from tamis.pipeline.inputs.folders import is_folder, picture_folders
from tamis.pipeline.store import matching, storage
from tamis.schemas.errors import InputError
from tamis.schemas.job import Captions
from tamis.schemas.tables import find_column

Side = Literal["image", "text"]


class Reading(NamedTuple):
    """The job's settings for reading an entry's samples.

    Attributes:
        columns: a name of ingest's (``text``, ``image``) -> the input's own names, the preferred one first; no name
            for an image that is not read.
        captions: how many a sample has, as ``schemas.job.Input`` explains it.
    """

    columns: tuple[tuple[str, tuple[str, ...]], ...] = ()
    captions: Captions = "one"

    def names(self, wanted: str) -> tuple[str, ...]:
        """The input's own names for ``wanted``; none where the job says nothing of it."""
        return dict(self.columns).get(wanted, ())

    def column(self, wanted: str, available: Sequence[str]) -> str | None:
        """The input's own name for ``wanted`` among those available; None if it has none."""
        if (wanted == "text" and self.captions == "none") or (wanted == "image" and self.bare):
            return None
        names = self.names(wanted)
        if not names:
            # What the job names for another, such as a column `image` of URLs, is no picture.
            taken = {name for _, others in self.columns for name in others}
            free = [name for name in available if wanted != "image" or name not in taken]
            return find_column(wanted, free)
        return next((name for name in names if name in available), None)

    @property
    def bare(self) -> bool:
        """Whether no pictures are read."""
        return dict(self.columns).get("image") == ()

    @property
    def told(self) -> Reading | None:
        """Itself, where the job says anything: the fingerprints of other jobs do not know of it."""
        return self if self != BY_ALIAS else None


BY_ALIAS = Reading()
"""Of an entry of which the job says nothing."""


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
    others: tuple[tuple[str, str, str | None], ...] = ()  # (name, image, text) of further ones
    own_uids: bool = True  # a sample's uid is the input's, where it has one
    reading: Reading = BY_ALIAS
    touched: str = field(default="", compare=False)  # as ``storage.File`` has it

    @property
    def source(self) -> str:
        """Its name in the ledger."""
        return f"{self.entry}/{self.relative}"

    def embeddings(self, name: str) -> dict[Side, str]:
        """The addresses of the embeddings of that name, by side; "" names those without a name."""
        found: dict[str, tuple[str | None, str | None]] = {
            "": (self.image_embeddings, self.text_embeddings),
            **{other: (image, text) for other, image, text in self.others},
        }
        image, text = found.get(name, (None, None))
        sides: tuple[tuple[Side, str | None], ...] = (("image", image), ("text", text))
        return {side: address for side, address in sides if address is not None}

    @property
    def embedded(self) -> list[str]:
        """The names of its embeddings; "" for those without a name."""
        named = [name for name, _, _ in self.others]
        return [*([""] if self.image_embeddings or self.text_embeddings else []), *named]


MAX_BRACES = 1_000_000
"""Names that one brace pattern may stand for."""

WINDOWS = re.compile(r"([A-Za-z]):[\\/](.*)")
"""A path of Windows: its drive, and what follows."""

IN_PATTERNS = "* ? [ ] { } are patterns: give it a name without them, or name `.` from inside"
"""Of a file or directory with such a name."""

SHOWN = 3
"""Names in a note; of more the number is told."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of some patterns, sorted by relative name, and the directory above them all.

    ``left_out``: what a pattern matches besides, and why that is no input.
    """

    prefix: str
    files: tuple[storage.File, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    def notes(self) -> list[str]:
        """A line for each reason why something that a pattern matches is left out."""
        by_reason: dict[str, list[str]] = {}
        for path, why in self.left_out:
            by_reason.setdefault(why, []).append(storage.redact(path))
        lines = []
        for why, paths in sorted(by_reason.items()):
            more = f" and {len(paths) - SHOWN:,} more" if len(paths) > SHOWN else ""
            lines.append(
                f"{len(paths):,} left out of {len(paths) + len(self.files):,} that match, for each is {why}: "
                f"{', '.join(paths[:SHOWN])}{more}"
            )
        return lines


def resolve(patterns: Sequence[str], known: Mapping[str, str] | None = None) -> Listing:
    """The files that ``patterns`` name: paths or URLs with globs, ``{0..7}``, ``{a,b}``.

    The prefix is the directory part before the first glob or brace (a plain file's directory); of
    several patterns, the common part of their prefixes. A file that is named twice counts once. ``known`` has what is
    left out of directories that the patterns stand for, each with why.

    Raises:
        InputError: a pattern that matches nothing, with the nearest directory and its content; two addresses with one
            relative name; a name that is no text.
    """
    prefix = prefix_of(patterns)
    by_name: dict[str, storage.File] = {}
    left_out = dict(known or {})
    for pattern in patterns:
        for file in _matches(pattern, prefix, left_out):
            _check_name(file, by_name.get(file.relative))
            by_name[file.relative] = file
    files = tuple(by_name[name] for name in sorted(by_name))
    return Listing(prefix, files, tuple(sorted(left_out.items())))


def _check_name(file: storage.File, other: storage.File | None) -> None:
    """Refuse a name that the ledger cannot hold, or that another file of the entry has."""
    try:
        file.relative.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(file.path).decode("utf-8", "backslashreplace")
        raise InputError(
            f"`{shown}`: the name is not UTF-8, as the ledger's are: rename it"
        ) from None
    if other is not None and other.path != file.path:
        raise InputError(
            f"`{storage.redact(file.path)}`: addresses that differ behind their `?` alone would have one name in the "
            "ledger: give each an input of its own, with a `name:`"
        )


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
    if is_folder(pattern):
        return storage.absolute(pattern.rstrip("/") or "/")
    if _is_web(pattern):  # a query may hold slashes, and secrets
        pattern = re.split(r"[?#]", pattern, maxsplit=1)[0]
    plain = re.split(rf"[{{{re.escape(_marks(pattern))}]", pattern, maxsplit=1)[0]
    return storage.parent(storage.absolute(plain + "x"))


def _matches(pattern: str, prefix: str, left_out: dict[str, str]) -> list[storage.File]:
    """The files of one pattern; what it matches besides goes into ``left_out``, with the reason."""
    if (
        any(m in pattern for m in "*?[{")
        and storage.is_local(pattern)
        and storage.is_folder(pattern)
    ):
        raise InputError(f"`{storage.redact(pattern)}` is there, but {IN_PATTERNS}")
    names = names_of(pattern, storage.redact(pattern), MAX_BRACES)
    files: list[storage.File] = []
    missing: list[str] = []
    listings: dict[str, dict[str, storage.File]] = {}
    for name in names:
        if name.endswith("/"):
            folders = picture_folders(name, prefix)
            left_out.update(folders.left_out)
            matches = list(folders.files)
        elif _is_glob(name):
            found = matching.glob(storage.absolute(name), prefix)
            left_out.update(found.left_out)
            matches = [_below(file, prefix) for file in found.files]
        else:
            matches = _look_up(name, prefix, listings)
        files += matches
        if not matches:
            missing.append(name)
    if missing:
        rest = f" (one of {len(missing)} missing of {len(names)})" if len(names) > 1 else ""
        raise InputError(
            f"`{storage.redact(missing[0])}` {_why_missing(missing[0], rest, left_out)}"
        )
    return files


def _why_missing(name: str, rest: str, left_out: dict[str, str]) -> str:
    dead = matching.dead_link(name)
    if dead:
        return f"{dead}{rest}"
    if left_out:
        path, why = next(iter(left_out.items()))
        return f"matches no file{rest}, but {storage.redact(path)}, which is {why}"
    if "[" in name and not _is_web(name) and storage.is_file(name):
        written = storage.redact(name).replace("[", "[[]")
        return f"matches nothing{rest}: a bracket stands for letters: a file of that very name is `{written}`"
    if _is_glob(name) and name.endswith("/"):
        return f"is no pattern of files{rest}: name the directory above, below which all pictures are read"
    if _is_glob(name) and storage.exists(name):
        return f"is there{rest}, but {IN_PATTERNS}"
    problem = "matches nothing" if _is_glob(name) else "is not there"
    hint = "its server says so" if _is_web(name) else storage.nearest_directory(name)
    windows = WINDOWS.fullmatch(name)
    if windows:
        inner = windows[2].replace("\\", "/")
        hint = f"a path of Windows, which WSL calls /mnt/{windows[1].lower()}/{inner}"
    return f"{problem}{rest}: {hint}"


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
    below = storage.relative(file.path, prefix)
    if _is_web(
        file.path
    ):  # a query may hold a signature; a key of a store may hold a question mark
        below = re.split(r"[?#]", below, maxsplit=1)[0]
    return replace(file, relative=below)
