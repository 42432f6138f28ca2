"""How files of this machine's disk are written: whole or not at all. ``pipeline.store.storage`` alone uses this."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, BinaryIO

from tamis.schemas.errors import StorageError

PARTIAL = ".partial"


class Disk:
    """This machine's disk, with those methods of fsspec's file systems that most commands need.

    Importing fsspec takes as long as much of what is asked of a finished run; the rest is left to it.
    """

    exists = staticmethod(os.path.exists)
    isfile = staticmethod(os.path.isfile)
    isdir = staticmethod(os.path.isdir)
    rm_file = staticmethod(os.remove)

    def info(self, path: str) -> dict[str, Any]:
        """Name, size in bytes, and type: what a link points to is told.

        Raises:
            FileNotFoundError, NotADirectoryError: nothing is there.
        """
        return _told(path, os.stat(path))

    def ls(self, path: str, detail: bool = True) -> list[Any]:
        """``info`` of what a directory holds, or of the file at ``path``; names alone without ``detail``.

        A link in a directory is of another type than a file and a directory.
        """
        if not os.path.isdir(path):
            found = [self.info(path)]
        else:
            with os.scandir(path) as entries:
                found = [info for entry in entries if (info := _entry(entry)) is not None]
        return found if detail else [info["name"] for info in found]

    def __getattr__(self, name: str) -> Any:
        from fsspec.implementations.local import LocalFileSystem

        return getattr(LocalFileSystem(), name)


def _entry(entry: os.DirEntry[str]) -> dict[str, Any] | None:
    """None where it has gone meanwhile."""
    try:
        info = _told(entry.path, entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return None
    return info


def _told(path: str, status: os.stat_result) -> dict[str, Any]:
    kind = "other"
    if stat.S_ISDIR(status.st_mode):
        kind = "directory"
    elif stat.S_ISREG(status.st_mode):
        kind = "file"
    return {"name": path, "size": status.st_size, "type": kind}


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The disk, a quota, or the largest file that may be written."""

NO_SYNC = {errno.EINVAL, errno.ENOTSUP}
"""Some network file systems cannot sync a directory."""


_SYNCED = ContextVar("synced", default=True)


@contextmanager
def fleeting() -> Iterator[None]:
    """What is written inside need not outlive this process, and so is not synced."""
    token = _SYNCED.set(False)
    try:
        yield
    finally:
        _SYNCED.reset(token)


@contextmanager
def told(path: str) -> Iterator[None]:
    """Turn "no room left" into one line about ``path``.

    Raises:
        StorageError: there is no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageError(
            f"`{path}` cannot be written: {os.strerror(error.errno or 0).lower()}: make room, and the same command "
            "goes on where it was"
        ) from error


@contextmanager
def written(path: str) -> Iterator[BinaryIO]:
    """A file that stands at ``path`` once the block has ended well: a hidden neighbour, flushed, synced, renamed.

    The neighbour is this process's own: what a killed run has left at work may still be writing the same file.

    Raises:
        StorageError: there is no room.
    """
    folder, name = os.path.split(path)
    partial = os.path.join(folder, f".{name}.{socket.gethostname()}-{os.getpid()}{PARTIAL}")
    with told(path):
        os.makedirs(folder, exist_ok=True)
        try:
            with open(partial, "wb") as file:
                yield file
                file.flush()
                if _SYNCED.get():
                    os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            if os.path.exists(partial):
                os.unlink(partial)
            raise
        if _SYNCED.get():
            _sync_directory(folder)


def _sync_directory(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def create(path: str, data: bytes) -> bool:
    """Put ``data`` at ``path`` if nothing stands there; False where something does.

    Raises:
        StorageError: there is no room.
    """
    with told(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        return True


def unwritable(folder: str) -> str | None:
    """Why nothing can be written below ``folder``, which need not be there yet; else None."""
    place = folder
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        return "is a file" if place == folder else f"{place} is a file"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place} cannot be written to"
    return None


def clear_partial(folder: str) -> None:
    """Remove what killed writers have left in a directory; nobody may be writing there now."""
    if not os.path.isdir(folder):
        return
    for name in os.listdir(folder):
        if re.fullmatch(rf"\..+-\d+{re.escape(PARTIAL)}", name):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
