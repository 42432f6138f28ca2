"""How files of this machine's disk are written: whole or not at all. ``pipeline.storage`` alone uses this."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import BinaryIO

from schemas.errors import StorageError

PARTIAL = ".partial"

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
