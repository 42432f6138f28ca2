"""Writing of files on this machine's disk, whole or not at all. Only ``pipeline.store.storage`` uses this module."""

from __future__ import annotations

import errno
import io
import os
import re
import socket
import stat
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import islice
from typing import Any, BinaryIO, cast
from zlib import crc32

from tamis.pipeline.host import bytes_read
from tamis.schemas.errors import InputError, StorageError

PARTIAL = ".partial"

_PROCESS = os.urandom(4).hex()
"""Told apart by it: processes of containers that have one host name, each with a first process."""


def _own() -> str:
    """A part of a name that no other process has."""
    return f"{socket.gethostname()}-{os.getpid()}-{_PROCESS}"


class Disk:
    """This machine's disk, with the methods of fsspec's file systems that most commands need; what they tell of a
    file has its ``status`` too.

    To import fsspec would take as long as many commands do; it has the other methods.
    """

    rm_file = staticmethod(os.remove)

    # Not those of ``os.path``, for which a disk that fails has no files.
    def exists(self, path: str) -> bool:
        """Whether anything is there."""
        return _status(path) is not None

    def isfile(self, path: str) -> bool:
        """Whether a file is there."""
        status = _status(path)
        return status is not None and stat.S_ISREG(status.st_mode)

    def isdir(self, path: str) -> bool:
        """Whether a directory is there."""
        status = _status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

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
        if not self.isdir(path):
            infos = [self.info(path)]
        else:
            with os.scandir(path) as entries:
                infos = [info for entry in entries if (info := _entry_info(entry)) is not None]
        return infos if detail else [info["name"] for info in infos]

    def __getattr__(self, name: str) -> Any:
        from fsspec.implementations.local import LocalFileSystem

        return getattr(LocalFileSystem(), name)


ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Errors of a path at which nothing can be."""


def _status(path: str) -> os.stat_result | None:
    """The status of what is at ``path``; None if nothing is."""
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return None


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
    return {"name": path, "size": status.st_size, "type": kind, "status": status}


NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a full disk, a used up quota, and a file above the largest size."""

NO_SYNC = {errno.EINVAL, errno.ENOTSUP}
"""Errors of network file systems that cannot sync a directory."""

NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Errors of file systems on which no file has two names."""

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
def translate_errors(path: str, what: str = "read") -> Iterator[None]:
    """Turn a failed system call into one line about ``path``; that a file is, or is not, there stays as it is.

    Raises:
        StorageError: the disk failed, refused, or has no room: nothing is known of the content.
    """
    try:
        yield
    except OSError as error:
        told = FileExistsError if what == "written" else (FileNotFoundError, FileExistsError)
        if error.errno is None or isinstance(error, told):
            raise
        why = os.strerror(error.errno).lower()
        mend = "make room" if error.errno in NO_ROOM else "mend that"
        raise StorageError(
            f"`{path}` cannot be {what}: {why}: {mend}, and the same command resumes"
        ) from error


class DiskFile(bytes_read.CountedFile):
    """A file of this machine's disk whose failures are StorageErrors: an OSError would be taken for damage."""

    def __init__(self, path: str, mode: str) -> None:
        self._what, self._path = "read" if mode == "rb" else "written", path
        with translate_errors(path, self._what):
            super().__init__(path, mode, opener=_opened)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes."""
        with translate_errors(self._path):
            return super().read(size)

    def readall(self) -> bytes:
        """Read the rest of the file."""
        with translate_errors(self._path):
            return super().readall()

    def readinto(self, buffer: Any, /) -> int:
        """Fill ``buffer``."""
        with translate_errors(self._path):
            return super().readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to an offset. One that no file has is an error of content, without a number: damaged files name such."""
        with translate_errors(self._path):
            try:
                return super().seek(offset, whence)
            except (OSError, OverflowError) as error:
                if getattr(error, "errno", errno.EINVAL) != errno.EINVAL:
                    raise
                raise OSError(f"no file has an offset of {offset}") from error

    def write(self, data: Any, /) -> int:
        """Write as much as the disk takes at once."""
        with translate_errors(self._path, "written"):
            return super().write(data)

    def close(self) -> None:
        """Close it: some disks tell only then that a write has failed. What was only read has nothing to lose."""
        with suppress(OSError) if self._what == "read" else translate_errors(self._path, "written"):
            super().close()

    def write_many(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Write all pieces, many in a call."""
        left = deque(memoryview(piece).cast("B") for piece in pieces if len(piece))
        with translate_errors(self._path, "written"):
            while left:
                done = os.writev(self.fileno(), list(islice(left, MANY)))
                while left and done >= len(left[0]):
                    done -= len(left.popleft())
                if done:  # a disk takes what it has room for
                    left[0] = left[0][done:]


MANY = min(256, os.sysconf("SC_IOV_MAX"))
"""Pieces of one call."""


class BufferedFile(io.BufferedWriter):
    """A buffer before a DiskFile, which many pieces at once pass by."""

    raw: DiskFile

    def writelines(self, pieces: Any, /) -> None:
        """Write what is in the buffer, then the pieces as they lie."""
        self.flush()
        self.raw.write_many(list(pieces))


MOST_BYTES, MOST_OF_A_NAME = 4095, 255
"""Bytes of the longest path that Linux opens, and of a name in it."""

OWN_BYTES = 200
"""Bytes of a path below a run directory, at most, a partial file's too."""


def _make_folder(folder: str) -> None:
    if (
        len(os.fsencode(folder)) > MOST_BYTES
    ):  # Python would go down a level of calls for each of its own
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), folder)
    os.makedirs(folder, exist_ok=True)


def _opened(path: str, flags: int) -> int:
    """Open what ends: no device, which may give bytes for ever; and a pipe at once, which is empty if nobody writes."""
    descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        os.close(descriptor)
        raise InputError(f"`{path}` is a device: name a file")
    if stat.S_ISFIFO(mode):
        os.set_blocking(descriptor, True)
    return descriptor


def open_read(path: str) -> BinaryIO:
    """Open a file, unbuffered.

    Raises:
        FileNotFoundError: nothing is there.
        InputError: it is a device.
        StorageError: it cannot be opened.
    """
    return cast(BinaryIO, DiskFile(path, "rb"))


@contextmanager
def write_atomic(path: str) -> Iterator[BinaryIO]:
    """A hidden file beside ``path``, which is flushed, synced and renamed to it once the block has ended without error.

    Its name has the process id: a task that a killed run has left behind may still be writing the same file.

    Raises:
        InputError: a device or a pipe is there.
        StorageError: there is no room, or the disk fails.
    """
    folder, name = os.path.split(path)
    partial = os.path.join(folder, f".{_short(name)}.{_own()}{PARTIAL}")
    with translate_errors(path, "written"):
        _make_folder(folder)
        status = _status(path)
    if status is not None and not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        # A rename would put a file in the place of `/dev/null`.
        raise InputError(f"`{path}` is neither file nor directory: name a file")
    try:
        with BufferedFile(DiskFile(partial, "wb")) as file:
            yield file
            with translate_errors(path, "written"):
                file.flush()
                if _SYNCED.get():
                    os.fsync(file.fileno())
        with translate_errors(path, "written"):
            os.replace(partial, path)
    except BaseException:
        with suppress(OSError):  # what went wrong first is told; the next run clears it away
            os.unlink(partial)
        raise
    if _SYNCED.get():
        with translate_errors(path, "written"):
            _sync_directory(folder)


def _short(name: str) -> str:
    """A name that leaves room for more within the longest one: its beginning, and a digest of all of it."""
    data = os.fsencode(name)
    return name if len(data) <= 100 else f"{os.fsdecode(data[:90])}~{crc32(data):08x}"


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
    """Put ``data`` at ``path``, whole, if nothing is there, else return False.

    Raises:
        StorageError: there is no room, or the disk fails.
    """
    folder, name = os.path.split(path)
    whole = os.path.join(folder, f".{name}.{_own()}-{threading.get_ident()}{PARTIAL}")
    with translate_errors(path, "written"):
        _make_folder(folder)
        try:
            try:
                _write_and_link(whole, path, data)
            except FileNotFoundError:  # cleared away by who has just been faster
                _write_and_link(whole, path, data)
        except FileExistsError:
            return False
        finally:
            with suppress(FileNotFoundError):
                os.unlink(whole)
    return True


def _write_and_link(whole: str, path: str, data: bytes) -> None:
    with open(whole, "wb") as file:
        file.write(data)
    _link(whole, path)


def _link(whole: str, path: str) -> None:
    """Give a file a second name that is free, or FileExistsError. Where a file has one name alone it is copied."""
    try:
        os.link(whole, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with open(path, "xb") as file, open(whole, "rb") as source:
            file.write(source.read())


def why_unwritable(folder: str) -> str | None:
    """Reason why nothing can be written below ``folder``, which need not exist yet; None if there is none."""
    size, names = len(os.fsencode(folder)), [len(os.fsencode(name)) for name in folder.split("/")]
    if size > MOST_BYTES - OWN_BYTES or max(names) > MOST_OF_A_NAME:
        return (
            f"has {size:,} bytes, of at most {MOST_BYTES - OWN_BYTES:,}, and {max(names):,} in a name, of at most "
            f"{MOST_OF_A_NAME}"
        )
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
    with translate_errors(folder, "cleared"):
        status = _status(folder)
        if status is None or not stat.S_ISDIR(status.st_mode):
            return
        for name in os.listdir(folder):
            if re.fullmatch(rf"\..+-\d+(-[0-9a-f]+)*{re.escape(PARTIAL)}", name):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, name))
