"""Files that match a pattern, on a disk or a store, and what matches it besides. Links of a disk are followed.

fsspec's own glob takes a link for neither file nor directory, and passes over a directory that it may not list.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.pipeline.store import objects, storage
from tamis.pipeline.store.storage import File, filesystem, redact
from tamis.schemas.errors import InputError, StorageError
from tamis.schemas.layout import MANIFEST, PLAN, RUN_FILES, TABLES


@dataclass(frozen=True, slots=True)
class Matches:
    """The files that match a pattern, and what matches it besides: paths, each with why it is left out."""

    files: tuple[File, ...]
    left_out: tuple[tuple[str, str], ...]


HIDDEN = "hidden"
"""The reason why a pattern leaves out a name that begins with a dot."""

FOLDER = "a directory"
"""The reason why it leaves out a directory."""

RUN = "the directory of a run, whose result is no new input: name its shards if they are meant"
CIRCLE = "a link that leads back to itself or to a directory above it: remove it"
DEAD = "a link to what is not there: mount or bring back its target, or remove it"
NO_FILE = "neither file nor directory: a pipe, a socket or a device"
"""Reasons why nothing is read of what lies in a directory."""


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
    files, runs = _without_runs(pattern, files)
    left_out += runs
    if not inner.endswith("/**"):  # which goes through directories
        met = {folder for file in files for folder in _above(file.path)}
        left_out += [(path, FOLDER) for path in folders if path not in met]
    return Matches(tuple(files), tuple(left_out))


def _above(path: str) -> Iterator[str]:
    """The directories above a file."""
    while (path := path.rpartition("/")[0]).rpartition("/")[2]:
        yield path


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory: its files by name, without hidden ones, and what else is in it that nothing is read of, each with
    why.
    """

    path: str
    files: tuple[File, ...]
    left_out: tuple[tuple[str, str], ...]


def walk(path: str) -> Iterator[Folder]:
    """A directory and those below it, by name, without hidden ones; nothing where there is none. One that a link finds
    above itself, and the directory of a run, is left out.

    Raises:
        StorageError: a directory cannot be listed.
    """
    yield from _walked(path, ())


def _walked(path: str, above: tuple[Identity, ...]) -> Iterator[Folder]:
    """``above``: the directories between the uppermost and this one, by their identity."""
    files, left_out = storage.files_in(path), list[tuple[str, str]]()
    names = [file.relative for file in files]
    if above and PLAN in names and (MANIFEST in names or is_run(path)):
        yield Folder(path, (), ((path, RUN),))
        return
    here: Identity = (0, 0)
    if storage.is_local(path):
        inner = filesystem(path)[1]
        if not os.path.isdir(inner):
            return
        here = _identity(inner)
        if here in above:
            yield Folder(path, (), ((path, CIRCLE),))
            return
        folders, others = _entries(inner, set(names))
        left_out += [(storage.join(inner, name), _unreadable(inner, name)) for name in others]
    else:
        folders = storage.folders_in(path)
    yield Folder(path, tuple(files), tuple(left_out))
    for name in folders:
        yield from _walked(f"{path.rstrip('/')}/{name}", (*above, here))


def _entries(folder: str, files: Collection[str]) -> tuple[list[str], list[str]]:
    """The directories in a directory, and what is neither file nor directory; without hidden names."""
    others = [name for name in _names(folder) if name[0] != "." and name not in files]
    folders = [name for name in others if os.path.isdir(f"{folder}/{name}")]
    met = {*folders}
    return folders, [n for n in others if n not in met and os.path.lexists(f"{folder}/{n}")]


def is_run(folder: str) -> bool:
    """Whether a directory is that of a run, finished or at work."""
    return storage.exists(storage.join(folder, PLAN)) and any(
        storage.exists(storage.join(folder, name)) for name in (MANIFEST, TABLES)
    )


def _unreadable(folder: str, name: str) -> str:
    """The reason why nothing is read of what is neither file nor directory."""
    path = f"{folder}/{name}"
    if os.path.islink(path) and not os.path.exists(path):
        try:
            os.stat(path)
        except OSError as error:
            return CIRCLE if error.errno == errno.ELOOP else DEAD
    return NO_FILE


def _without_runs(pattern: str, found: Sequence[File]) -> tuple[list[File], list[tuple[str, str]]]:
    """The files that a pattern matches but for those in directories of runs which its ``**`` went into, and the runs.

    A pattern that names directories behind its ``**`` (``**/shards/*.tar``) means them.
    """
    start, mark, rest = pattern.rpartition("**")
    if not mark or "/" in rest.removeprefix("/"):
        return list(found), []
    fixed = re.split(r"[*?[]", start, maxsplit=1)[0].rpartition("/")[0]
    known: dict[str, bool] = {}
    files, runs = [], set()
    for file in found:
        inside = [folder for folder in _may_be_runs(file.path, fixed) if _known_run(folder, known)]
        runs |= set(inside[-1:])  # the uppermost
        if not inside:
            files.append(file)
    return files, [(folder, RUN) for folder in sorted(runs)]


def _may_be_runs(path: str, fixed: str) -> Iterator[str]:
    """The directories above a file and below ``fixed`` that may be runs; on a store, where each has to be asked for,
    those in which it has the name of something that a run writes.
    """
    local = storage.is_local(path)
    below = path
    for folder in _above(path):
        if len(folder) <= len(fixed):
            return
        if local or below[len(folder) + 1 :] in RUN_FILES:
            yield folder
        below = folder


def _known_run(folder: str, known: dict[str, bool]) -> bool:
    if folder not in known:
        known[folder] = is_run(folder)
    return known[folder]


def is_linked(path: str) -> bool:
    """Whether a path goes through a link of this machine's disk."""
    inner = filesystem(path)[1]
    return storage.is_local(path) and os.path.realpath(inner) != inner


def is_one_file(path: str, other: str) -> bool:
    """Whether two paths lead to one file or directory, through links too."""
    if path == other:
        return True
    if not (storage.is_local(path) and storage.is_local(other)):
        return False
    try:
        return os.path.samefile(filesystem(path)[1], filesystem(other)[1])
    except OSError:
        return False


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
