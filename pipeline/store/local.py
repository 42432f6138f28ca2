"""Writing of files on this machine's disk, whole or not at all. Only ``pipeline.store.storage`` uses this module."""

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
    """This machine's disk, with the methods of fsspec's file systems that most commands need.

    To import fsspec would take as long as many commands do; it has the other methods.
    """

    exists = staticmethod(os.path.exists)
    isfile = staticmethod(os.path.isfile)
    isdir = staticmethod(os.path.isdir)
    rm_file = staticmethod(os.remove)

    def info(self, path: str) -> dict[str, Any]:
        """Name, size in bytes and type of a file or directory, or of the target of a link.

        Raises:
            FileNotFoundError, NotADirectoryError: nothing is there.
        """
        return _info(path, os.stat(path))

    def ls(self, path: str, detail: bool = True) -> list[Any]:
        """``info`` of the entries of a directory, or of the file at ``path``; without ``detail`` names alone.

        A link in a directory has the type "other".
        """
        if not os.path.isdir(path):
            infos = [self.info(path)]
        else:
            with os.scandir(path) as entries:
                infos = [info for entry in entries if (info := _entry_info(entry)) is not None]
        return infos if detail else [info["name"] for info in infos]

    def __getattr__(self, name: str) -> Any:
        from fsspec.implementations.local import LocalFileSystem

        return getattr(LocalFileSystem(), name)


def _entry_info(entry: os.DirEntry[str]) -> dict[str, Any] | None:
    """Name, size and type of an entry; None if it has been removed since the listing."""
    try:
        return _info(entry.path, entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return None


def _info(path: str, status: os.stat_result) -> dict[str, Any]:
    kind = "other"
    if stat.S_ISDIR(status.st_mode):
        kind = "directory"
    elif stat.S_ISREG(status.st_mode):
        kind = "file"
    return {"name": path, "size": status.st_size, "type": kind}


NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a full disk, a used up quota, and a file above the largest size."""

NO_SYNC = {errno.EINVAL, errno.ENOTSUP}
"""Errors of network file systems that cannot sync a directory."""

_SYNCED = ContextVar("synced", default=True)


@contextmanager
def without_sync() -> Iterator[None]:
    """Write files inside the block without a sync: they need not outlive this process."""
    token = _SYNCED.set(False)
    try:
        yield
    finally:
        _SYNCED.reset(token)


@contextmanager
def translate_errors(path: str) -> Iterator[None]:
    """Turn "no room left" into one line about ``path``.

    Raises:
        StorageError: there is no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise StorageError(
            f"`{path}` cannot be written: {os.strerror(error.errno or 0).lower()}: make room, and the same command "
            "resumes"
        ) from error


@contextmanager
def write_atomic(path: str) -> Iterator[BinaryIO]:
    """A hidden file beside ``path``, which is flushed, synced and renamed to it once the block has ended without error.

    Its name has the process id: a task that a killed run has left behind may still be writing the same file.

    Raises:
        StorageError: there is no room.
    """
    folder, name = os.path.split(path)
    partial = os.path.join(folder, f".{name}.{socket.gethostname()}-{os.getpid()}{PARTIAL}")
    with translate_errors(path):
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
    """Put ``data`` at ``path`` if nothing is there, else return False.

    Raises:
        StorageError: there is no room.
    """
    with translate_errors(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        return True


def why_unwritable(folder: str) -> str | None:
    """Reason why nothing can be written below ``folder``, which need not exist yet; None if there is none."""
    ancestor = folder
    while not os.path.lexists(ancestor):
        ancestor = os.path.dirname(ancestor)
    if not os.path.isdir(ancestor):
        return "is a file" if ancestor == folder else f"{ancestor} is a file"
    if not os.access(ancestor, os.W_OK | os.X_OK):
        return f"{ancestor} cannot be written to"
    return None


def clear_partial(folder: str) -> None:
    """Remove the partial files of killed writers in a directory; no writer may be at work in it."""
    if not os.path.isdir(folder):
        return
    for name in os.listdir(folder):
        if re.fullmatch(rf"\..+-\d+{re.escape(PARTIAL)}", name):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
