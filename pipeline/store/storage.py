"""Files at local paths and fsspec URLs: what the other packages call.

A path inside the program is either absolute and local, or a full URL. Messages never show a user
name, a password or a query string of a URL (``redact``). The clients of object stores retry (s3fs,
with backoff); this module does not. Their last failure is a ``StorageError``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from tamis.pipeline.host import bytes_read
from tamis.pipeline.store import local, objects
from tamis.schemas import redaction
from tamis.schemas.errors import InputError, StorageError

REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:|::")
"""Paths for fsspec: those with a protocol, or with one file system inside another."""

STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
"""Protocols of object stores, whose clients keep listings until the process ends."""

_DISK = local.Disk()

without_sync = local.without_sync
redact = redaction.redact

READ_BLOCK = 8 << 20
"""Bytes of a sequential reader's requests to an object store."""

Range = tuple[int, int]
"""(offset, size) in bytes."""


@dataclass(frozen=True, slots=True)
class File:
    """An existing file: its size in bytes, and a stamp that changes when it is written again.

    ``touched`` is a local file's time of change in ns, which no program sets back, and its number, as text: it also
    changes when the file is copied, renamed, or given to somebody else.
    """

    path: str
    relative: str
    size: int
    stamp: str
    touched: str = ""


def filesystem(path: str) -> tuple[Any, str]:
    """The file system of ``path``, and the path in that file system's own form."""
    if "\0" in path or not path.strip():
        raise InputError(objects.no_path(redact(path)))
    if not REMOTE.search(path):
        # Called for every table: fsspec takes 20 times as long.
        if not path.startswith("/"):
            path = os.path.abspath(os.path.expanduser(path))
        return _DISK, path.rstrip("/") or "/"
    redaction.note_secrets(path)  # a client may quote any part of them
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    protocol = fsspec.core.split_protocol(path)[0]
    # A cached listing would hide files that another process has written since.
    options: dict[str, Any] = {"use_listings_cache": False} if protocol in STORES else {}
    try:
        with objects.of_address(redact(path)):
            fs, inner = fsspec.core.url_to_fs(path, **options)
    except ImportError as error:
        why = objects.not_installed(protocol, redaction.redact_text(str(error)))
        raise InputError(f"cannot open `{redact(path)}`: {why}") from None
    if protocol in {"s3", "s3a"}:
        fs.retries = objects.RETRIES
    return (_DISK if isinstance(fs, LocalFileSystem) else fs), inner


def is_local(path: str) -> bool:
    """Whether ``path`` is on this machine's disk."""
    return filesystem(path)[0] is _DISK


def absolute(path: str) -> str:
    """``path`` as an absolute local path or a full URL."""
    fs, inner = filesystem(path)
    return os.path.normpath(inner) if fs is _DISK else str(fs.unstrip_protocol(inner))


def is_same(path: str, other: str) -> bool:
    """Whether two paths lead to one place, through links too."""
    one, two = (os.path.realpath(p) if is_local(p) else absolute(p) for p in (path, other))
    return one == two


def is_absolute(path: str) -> bool:
    """Whether ``path`` is an absolute local path or a full URL, and not relative to a directory."""
    return path.startswith("/") or "://" in path


def join(base: str, *parts: str) -> str:
    """``parts`` below the directory ``base``, with ``/`` between them."""
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


def parent(path: str) -> str:
    """The directory that holds ``path``."""
    head = path.rstrip("/").rpartition("/")[0]
    return head or "/"


def relative(path: str, base: str) -> str:
    """The path of ``path`` relative to ``base``; ValueError if it is not below ``base``."""
    start = base.rstrip("/") + "/"
    if not path.startswith(start):
        raise ValueError(f"{redact(path)} is not below {redact(base)}")
    return path[len(start) :]


def _stamp(info: dict[str, Any]) -> str:
    for name in (
        "ETag",
        "etag",
        "md5Hash",
        "blob_id",
        "mtime_ns",
        "LastModified",
        "mtime",
        "created",
    ):
        value = info.get(name)
        if value is not None:  # some stores return a datetime from one call and text from another
            return str(value.timestamp() if isinstance(value, datetime) else value).strip('"')
    return str(info["size"])


def file_of(fs: Any, info: dict[str, Any], base: str) -> File:
    """The file of fsspec's facts of it; ``relative`` to ``base``, which may be empty."""
    inner = str(info["name"])
    if fs is _DISK:
        status = info["status"]
        if info["type"] != "file":  # a link
            with local.translate_errors(inner):
                status = os.stat(inner)
        size, stamp, path = status.st_size, str(status.st_mtime_ns), inner
        touched = f"{status.st_ctime_ns} {status.st_ino}"
    else:
        size, stamp, path = int(info["size"]), _stamp(info), str(fs.unstrip_protocol(inner))
        touched = ""
    return File(path, relative(path, base) if base else path, size, stamp, touched)


def stat(path: str) -> File:
    """The file at ``path``; InputError if there is none."""
    file = find(path)
    if file is None:
        raise InputError(f"no file `{redact(path)}`: {nearest_directory(path)}")
    return file


def find(path: str) -> File | None:
    """The file at ``path``, or None; InputError if it is a directory or has no known size."""
    fs, inner = filesystem(path)
    try:
        with objects.of_address(redact(path)):
            info = fs.info(inner)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if info["type"] == "directory":
        raise InputError(f"`{redact(path)}` is a directory: name files in it, such as `*.tar`")
    if info["type"] != "file":
        raise InputError(f"`{redact(path)}` is neither file nor directory: name a file")
    if info["size"] is None:
        raise InputError(f"`{redact(path)}`: its server does not tell its size: copy it first")
    return file_of(fs, info, "")


def exists(path: str) -> bool:
    """Whether there is a file or directory at ``path``."""
    fs, inner = filesystem(path)
    with objects.of_address(redact(path)):
        return bool(fs.exists(inner))


def is_folder(path: str) -> bool:
    """Whether there is a directory at ``path``; InputError if its client knows no such address."""
    fs, inner = filesystem(path)
    with objects.of_address(redact(path)):
        return bool(fs.isdir(inner))


def is_file(path: str) -> bool:
    """Whether there is a file, and no directory, at ``path``."""
    fs, inner = filesystem(path)
    with objects.of_address(redact(path)):
        return bool(fs.isfile(inner))


def _entries(path: str) -> list[dict[str, Any]]:
    fs, inner = filesystem(path)
    try:
        with objects.translate_errors(redact(path)):
            return list(fs.ls(inner, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return []


def files_in(path: str) -> list[File]:
    """The files of a directory by name, without hidden ones; none if there is no directory."""
    (fs, inner), base = filesystem(path), absolute(path)
    files: list[File] = []
    for info in _entries(path):
        hidden = str(info["name"]).rpartition("/")[2].startswith(".") or info["name"] == inner
        if not hidden and (info["type"] == "file" or _is_link_to_file(fs, info)):
            with suppress(FileNotFoundError):  # removed since the listing
                files.append(file_of(fs, info, base))
    return sorted(files, key=lambda file: file.relative)


def _is_link_to_file(fs: Any, info: dict[str, Any]) -> bool:
    with local.translate_errors(info["name"]):
        return bool(fs is _DISK and info["type"] == "other" and fs.isfile(info["name"]))


def folders_in(path: str) -> list[str]:
    """The names of the directories in a directory, without hidden ones; none if there is no directory."""
    names = [
        str(info["name"]).rstrip("/").rpartition("/")[2]
        for info in _entries(path)
        if info["type"] == "directory"
    ]
    return sorted(name for name in names if name and not name.startswith("."))


def listing(path: str) -> dict[str, int]:
    """The names of the files in a directory and their sizes in bytes, without hidden ones."""
    return {file.relative: file.size for file in files_in(path)}


def why_unwritable(path: str) -> str | None:
    """Reason why nothing can be written below the directory ``path``; None if no reason is known without a try."""
    fs, inner = filesystem(path)
    return local.why_unwritable(inner) if fs is _DISK else None


def delete(path: str, recursive: bool = False) -> None:
    """Remove a file, or with ``recursive`` a directory; do nothing if it does not exist."""
    fs, inner = filesystem(path)
    with objects.translate_errors(redact(path)), suppress(FileNotFoundError):
        if recursive:
            fs.rm(inner, recursive=True)
        else:
            fs.rm_file(inner)


def open_read(path: str) -> BinaryIO:
    """Open ``path`` for a sequential reader: it reads ahead, but can seek.

    Raises:
        FileNotFoundError: nothing is there.
    """
    fs, inner = filesystem(path)
    if fs is _DISK:
        return local.open_read(inner)
    return objects.open_read(fs, inner, redact(path), READ_BLOCK)


def open_table(path: str, size: int | None = None, pieces: int = 1) -> BinaryIO:
    """Open ``path`` for a reader that seeks, such as parquet's: only the bytes of its requests are read.

    ``size`` (bytes), if known, saves a request. A small file is fetched whole unless the reader wants one of many
    ``pieces``.

    Raises:
        FileNotFoundError: nothing is there.
    """
    fs, inner = filesystem(path)
    if fs is _DISK:
        return open_read(path)
    whole = objects.WHOLE if pieces <= 8 else objects.PIECE
    return objects.open_table(fs, inner, redact(path), size, whole)


def read_bytes(path: str) -> bytes:
    """All bytes of a small file."""
    with open_read(path) as file:
        return file.read()


def read_blocks(path: str, blocks: Sequence[Range]) -> Sequence[bytes | memoryview]:
    """The bytes of each block, from a store by many requests at a time; ``store.ranges`` merges ranges into blocks.

    Raises:
        InputError: the file is shorter.
    """
    buffers = _read_blocks(path, blocks) if blocks else ()
    for (offset, size), data in zip(blocks, buffers, strict=True):
        if len(data) != size:
            raise InputError(
                f"`{redact(path)}` has changed: it ends after {len(data)} of {size} bytes at {offset}: run again with "
                "--accept-changed"
            )
    return buffers


def _read_blocks(path: str, blocks: Sequence[Range]) -> Sequence[bytes | memoryview]:
    fs, inner = filesystem(path)
    if fs is not _DISK:
        return objects.fetch_all(fs, inner, redact(path), blocks)
    with open_read(path) as file, local.translate_errors(inner):
        return [_pread(file.fileno(), offset, size) for offset, size in blocks]


def _pread(descriptor: int, offset: int, size: int) -> memoryview:
    import pyarrow as pa

    # Arrow keeps freed memory. C's allocator returns it to the system, and fresh pages cost as much as a copy.
    data = memoryview(pa.allocate_buffer(size)).cast("B")
    done = 0
    # One call moves at most about 2 GB.
    while done < size and (more := os.preadv(descriptor, [data[done:]], offset + done)):
        done += more
    bytes_read.READ.add(done)
    return data[:done]


@contextmanager
def write_atomic(path: str) -> Iterator[BinaryIO]:
    """A binary file that appears at ``path`` once the block has ended without error, and not otherwise.

    Local: a hidden file beside it, flushed, synced and renamed. On a store: the object exists when its upload is
    complete.

    Raises:
        StorageError: the store refuses it, or the disk has no room.
    """
    fs, inner = filesystem(path)
    if fs is _DISK:
        with local.write_atomic(inner) as file:
            yield file
        return
    with objects.upload(fs, inner, redact(path)) as file:
        yield file


def clear_partial(path: str) -> None:
    """Remove the partial files of killed writers in a directory; no writer may be at work in it."""
    fs, inner = filesystem(path)
    if fs is _DISK:
        local.clear_partial(inner)


def write_bytes(path: str, data: bytes) -> None:
    """Put ``data`` at ``path``, whole or not at all."""
    with write_atomic(path) as file:
        file.write(data)


def nearest_directory(path: str) -> str:
    """The nearest existing directory above a missing path and its first entries, as words for a message."""
    fs, inner = filesystem(path)
    folder = parent(inner)
    while folder not in {"", "/"} and not _is_seen(fs, folder):
        folder = parent(folder)
    if not _is_seen(fs, folder):
        hidden = "" if fs is _DISK else ", or the login has no right to see it"
        return f"no part of the path exists{hidden}"
    names = sorted(str(name).rstrip("/").rpartition("/")[2] for name in fs.ls(folder, detail=False))
    entries = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    directory = folder if fs is _DISK else str(fs.unstrip_protocol(folder))
    return f"the nearest directory is `{redact(directory)}`, which holds {entries or 'nothing'}"


def _is_seen(fs: Any, folder: str) -> bool:
    """Whether there is a directory; a store may refuse to look above what is one's own."""
    with (
        suppress(StorageError, InputError, FileNotFoundError),
        objects.of_address(redact(folder)),
    ):
        return bool(fs.isdir(folder))
    return False


def copy(path: str, target: str) -> None:
    """Put the bytes of ``path`` at ``target``, whole or not at all, a block at a time."""
    with open_read(path) as file, write_atomic(target) as out:
        shutil.copyfileobj(file, out, READ_BLOCK)


def create(path: str, data: bytes) -> bool:
    """Put ``data`` at ``path`` if nothing is there, else return False. Of two calls at once one succeeds."""
    fs, inner = filesystem(path)
    if fs is _DISK:
        return local.create(inner, data)
    return objects.create(fs, inner, redact(path), data)
