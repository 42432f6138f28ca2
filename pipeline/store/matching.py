"""Files that match a pattern, on a disk or a store, and what matches it besides. Links of a disk are followed.

fsspec's own glob takes a link for neither file nor directory, and passes over a directory that it may not list.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tamis.pipeline.store import objects, storage
from tamis.pipeline.store.storage import File, filesystem, redact
from tamis.schemas.errors import InputError, StorageError


@dataclass(frozen=True, slots=True)
class Matches:
    """The files that match a pattern, and what matches it besides: paths, each with why it is left out."""

    files: tuple[File, ...]
    left_out: tuple[tuple[str, str], ...]


HIDDEN = "hidden"
"""The reason why a pattern leaves out a name that begins with a dot."""

FOLDER = "a directory"
"""The reason why it leaves out a directory."""


def glob(pattern: str, base: str) -> Matches:
    """Files that match a pattern with ``*``, ``**``, ``?`` or ``[ ]``; the files relative to ``base``.

    Hidden names are left out unless the pattern has their dot. So are directories where the pattern ends in ``*``, or
    goes through them by ``**``: what of them fits is found, as that of Spark's folders, which are called `x.parquet`.

    Raises:
        InputError: it matches a directory otherwise, a link to nothing, or what is neither file nor directory.
        StorageError: a directory cannot be listed.
    """
    fs, inner = filesystem(pattern)
    found = _local_matches if storage.is_local(pattern) else _remote_matches
    files: list[File] = []
    left_out: list[tuple[str, str]] = []
    folders: list[str] = []
    for path, info in found(pattern, inner):
        if info is None:
            left_out.append((path, HIDDEN))
        elif info["type"] == "file":
            files.append(storage.file_of(fs, info, base))
        elif info["type"] == "directory" and (inner.endswith("*") or "**/" in inner):
            folders.append(path)
        elif info["type"] == "directory":
            raise InputError(
                f"`{redact(path)}` is a directory that `{redact(pattern)}` matches: name its files, such as "
                f"`{redact(path)}/*.parquet`, or a pattern that it does not match"
            )
        else:
            raise InputError(f"`{redact(path)}` is neither file nor directory: name files alone")
    if not inner.endswith("/**"):  # which goes through directories
        met = {folder for file in files for folder in _above(file.path)}
        left_out += [(path, FOLDER) for path in folders if path not in met]
    return Matches(tuple(files), tuple(left_out))


def _above(path: str) -> Iterator[str]:
    """The directories above a file."""
    while (path := path.rpartition("/")[0]).rpartition("/")[2]:
        yield path


def folders(path: str, above: tuple[Identity, ...] = ()) -> Iterator[str]:
    """A directory and those below it, by name, without hidden ones, and without one that a link finds above itself;
    nothing where there is none.

    Raises:
        StorageError: a directory cannot be listed.
    """
    if storage.is_local(path):
        inner = filesystem(path)[1]
        here = _identity(inner) if os.path.isdir(inner) else None
        if here is None or here in above:
            return
        above = (*above, here)
        names = [n for n in _names(inner) if n[0] != "." and os.path.isdir(f"{inner}/{n}")]
    else:
        names = storage.folders_in(path)
    yield path
    for name in names:
        yield from folders(f"{path.rstrip('/')}/{name}", above)


def _identity(folder: str) -> Identity:
    status = os.stat(folder or "/")
    return status.st_dev, status.st_ino


Info = dict[str, Any] | None
"""fsspec's facts of a path; None for a hidden one."""


def _local_matches(pattern: str, inner: str) -> Iterator[tuple[str, Info]]:
    for match in matches(inner):
        if match.hidden:
            yield match.path, None
            continue
        try:
            with objects.translate_errors(match.path):
                info = filesystem(pattern)[0].info(match.path)
        except FileNotFoundError:
            why = dead_link(match.path) or "has been removed: run it again"
            raise InputError(f"`{match.path}` {why}") from None
        yield match.path, info


def _remote_matches(pattern: str, inner: str) -> Iterator[tuple[str, Info]]:
    fs = filesystem(pattern)[0]
    try:
        with objects.of_address(redact(pattern)):
            infos = fs.glob(inner, detail=True)
    except FileNotFoundError:  # no such bucket or repository: nothing in it matches
        infos = {}
    fixed = len(re.split(r"[*?[]", inner, maxsplit=1)[0].rpartition("/")[0])
    dotted = "/." in inner[fixed:]
    for name, info in infos.items():
        hidden = "/." in str(name)[fixed:] and not dotted
        path = str(fs.unstrip_protocol(name))
        if not hidden and info["type"] == "file" and info.get("size") is None:
            storage.find(path)  # refuses one without a size
            yield path, fs.info(name)  # a web server's listing has no sizes
        else:
            yield path, None if hidden else info


def dead_link(path: str) -> str | None:
    """Words for a local link whose target is not there; None for anything else."""
    inner = filesystem(path)[1]
    if not storage.is_local(path) or not os.path.islink(inner) or os.path.exists(inner):
        return None
    return f"is a link to `{os.readlink(inner)}`, which is not there: mount or bring back its target, or remove it"


Identity = tuple[int, int]
"""Device and number of a directory."""


@dataclass(frozen=True, slots=True)
class Match:
    """A path that fits a pattern; ``hidden`` where a part of it begins with a dot and the pattern's part does not."""

    path: str
    hidden: bool = False


def is_hidden(name: str, part: str) -> bool:
    """Whether a name begins with a dot that the pattern's part for it does not ask for."""
    return name.startswith(".") and not part.startswith(".")


def matches(pattern: str) -> list[Match]:
    """Entries of an absolute pattern with ``*``, ``?``, ``[ ]`` or ``**``: files, directories, dead links; by path.

    ``**`` is any number of directories. One that is hidden, or lies above itself by a link, is not entered.

    Raises:
        StorageError: a directory cannot be listed.
    """
    parts = [part for part in pattern.split("/") if part]
    if parts and parts[-1] == "**":
        parts.append("*")
    found = {match.path: match for match in _below("", parts, ())}
    return [found[path] for path in sorted(found)]


def _below(folder: str, parts: list[str], above: tuple[Identity, ...]) -> Iterator[Match]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _below(folder, rest, above)
        yield from _deeper(folder, parts, above)
    elif not re.search(r"[*?[]", part):
        path = f"{folder}/{part}"
        if rest and os.path.isdir(path):
            yield from _below(path, rest, above)
        elif not rest and os.path.lexists(path):
            yield Match(path)
    else:
        fits = re.compile(fnmatch.translate(part))
        for name in filter(fits.match, _names(folder)):
            path = f"{folder}/{name}"
            if is_hidden(name, part):
                yield Match(path, hidden=True)
            elif not rest:
                yield Match(path)
            elif os.path.isdir(path):
                yield from _below(path, rest, above)


def _deeper(folder: str, parts: list[str], above: tuple[Identity, ...]) -> Iterator[Match]:
    """The matches of a pattern that begins with ``**`` in the directories of a directory."""
    here = _identity(folder)
    if here in above:
        return
    for name in _names(folder):
        path = f"{folder}/{name}"
        if os.path.isdir(path):
            if is_hidden(name, ""):
                yield Match(path, hidden=True)
            else:
                yield from _below(path, parts, (*above, here))


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder or "/"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(
            f"`{folder}` cannot be listed: {os.strerror(error.errno or 0)}: what lies in it would be missed"
        ) from error
