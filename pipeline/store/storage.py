"""Files, wherever they lie: local paths and every fsspec URL. The only module that opens a path.

A path inside the program is either absolute and local, or a full URL. Messages never show a user
name, a password or a query string of a URL (``redact``). Object stores retry by their own clients
(s3fs, with backoff); nothing is retried a second time here. What they still fail at is a
``StorageError``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, cast

from tamis.pipeline.host import bytes_read
from tamis.pipeline.store import local, objects, redaction
from tamis.schemas.errors import InputError

REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:|::")
"""What fsspec has to make sense of: a protocol, or one file system inside another."""

STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
"""Object stores, whose clients keep listings for as long as a process lives."""

_DISK = local.Disk()

fleeting = local.fleeting
redact = redaction.redact

READ_BLOCK = 8 << 20
"""Bytes that a sequential reader asks an object store for at a time."""

Range = tuple[int, int]
"""(offset, size) in bytes."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that exists: its size in bytes, and a stamp that changes when it is written again."""

    path: str
    relative: str
    size: int
    stamp: str


def filesystem(path: str) -> tuple[Any, str]:
    """The file system of ``path``, and the path as that file system writes it."""
    if not REMOTE.search(path):
        # Asked for every table: fsspec takes 20 times as long to say so.
        if not path.startswith("/"):
            path = os.path.abspath(os.path.expanduser(path))
        return _DISK, path.rstrip("/") or "/"
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    protocol = fsspec.core.split_protocol(path)[0]
    # A listing that was kept from before would hide what another process has written since.
    options: dict[str, Any] = {"use_listings_cache": False} if protocol in STORES else {}
    try:
        fs, inner = fsspec.core.url_to_fs(path, **options)
    except (ValueError, ImportError) as error:
        raise InputError(
            f"cannot open `{redact(path)}`: {redaction.redact_text(str(error))}"
        ) from None
    if protocol in {"s3", "s3a"}:
        fs.retries = objects.RETRIES
    return (_DISK if isinstance(fs, LocalFileSystem) else fs), inner


def is_local(path: str) -> bool:
    """Whether ``path`` lies on this machine's disk."""
    return filesystem(path)[0] is _DISK


def absolute(path: str) -> str:
    """``path`` as the program passes it on: absolute where it is local, else a full URL."""
    fs, inner = filesystem(path)
    local = fs is _DISK
    return os.path.normpath(inner) if local else str(fs.unstrip_protocol(inner))


def is_whole(path: str) -> bool:
    """Whether ``path`` says all, and not only what lies below some directory."""
    return path.startswith("/") or "://" in path


def join(base: str, *parts: str) -> str:
    """``parts`` below the directory ``base``, with ``/`` between them."""
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


def parent(path: str) -> str:
    """The directory that holds ``path``."""
    head = path.rstrip("/").rpartition("/")[0]
    return head or "/"


def relative(path: str, base: str) -> str:
    """``path`` as it is called below ``base``; ValueError where it does not lie there."""
    start = base.rstrip("/") + "/"
    if not path.startswith(start):
        raise ValueError(f"{redact(path)} is not below {redact(base)}")
    return path[len(start) :]


def _stamp(info: dict[str, Any]) -> str:
    for name in ("ETag", "etag", "md5Hash", "mtime_ns", "LastModified", "mtime", "created"):
        value = info.get(name)
        if value is not None:  # some stores give a time in one call and seconds in another
            return str(value.timestamp() if isinstance(value, datetime) else value).strip('"')
    return str(info["size"])


def _file(fs: Any, info: dict[str, Any], base: str) -> File:
    inner = str(info["name"])
    if fs is _DISK:
        status = os.stat(inner)
        size, stamp, path = status.st_size, str(status.st_mtime_ns), inner
    else:
        size, stamp, path = int(info["size"]), _stamp(info), str(fs.unstrip_protocol(inner))
    return File(path, relative(path, base) if base else path, size, stamp)


def stat(path: str) -> File:
    """What ``path`` is now; InputError where it is no file."""
    file = find(path)
    if file is None:
        raise InputError(f"no file `{redact(path)}`: {nearest(path)}")
    return file


def find(path: str) -> File | None:
    """The same, but None where nothing is there."""
    fs, inner = filesystem(path)
    try:
        with objects.told(redact(path)):
            info = fs.info(inner)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if info["type"] != "file":
        raise InputError(f"`{redact(path)}` is a directory: name files in it, such as `*.tar`")
    if info["size"] is None:
        raise InputError(
            f"`{redact(path)}`: its server does not say how large it is: copy it first"
        )
    return _file(fs, info, "")


def exists(path: str) -> bool:
    """Whether a file or directory stands at ``path``."""
    fs, inner = filesystem(path)
    with objects.told(redact(path)):
        return bool(fs.exists(inner))


def is_file(path: str) -> bool:
    """Whether a file, and no directory, stands at ``path``."""
    fs, inner = filesystem(path)
    with objects.told(redact(path)):
        return bool(fs.isfile(inner))


def _entries(path: str) -> list[dict[str, Any]]:
    fs, inner = filesystem(path)
    try:
        with objects.told(redact(path)):
            return list(fs.ls(inner, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return []


def files_in(path: str) -> list[File]:
    """The files of a directory by name, but for hidden ones; none where there is no directory."""
    fs, base = filesystem(path)[0], absolute(path)
    infos = _entries(path)
    files = [_file(fs, info, base) for info in infos if info["type"] == "file"]
    shown = [file for file in files if not file.relative.startswith(".")]
    return sorted(shown, key=lambda file: file.relative)


def folders_in(path: str) -> list[str]:
    """The names of the directories in a directory, but for hidden ones; none where there is no directory."""
    names = [
        str(info["name"]).rstrip("/").rpartition("/")[2]
        for info in _entries(path)
        if info["type"] == "directory"
    ]
    return sorted(name for name in names if name and not name.startswith("."))


def listing(path: str) -> dict[str, int]:
    """The names in a directory and their sizes in bytes, but for hidden ones and directories."""
    return {file.relative: file.size for file in files_in(path)}


def glob(pattern: str, base: str) -> list[File]:
    """The files that a pattern with ``*``, ``**``, ``?`` or ``[ ]`` names; relative to ``base``."""
    fs, inner = filesystem(pattern)
    with objects.told(redact(pattern)):
        infos = fs.glob(inner, detail=True).values()
    return [_file(fs, info, base) for info in infos if info["type"] == "file"]


def unwritable(path: str) -> str | None:
    """Why nothing can be written below the directory ``path``, as far as can be told without trying; else None."""
    fs, inner = filesystem(path)
    return local.unwritable(inner) if fs is _DISK else None


def delete(path: str, recursive: bool = False) -> None:
    """Remove a file, or with ``recursive`` a whole directory; nothing to remove is no error."""
    fs, inner = filesystem(path)
    with objects.told(redact(path)), suppress(FileNotFoundError):
        if recursive:
            fs.rm(inner, recursive=True)
        else:
            fs.rm_file(inner)


def open_read(path: str) -> BinaryIO:
    """``path`` for reading: it can seek, but reads ahead for a sequential reader.

    Raises:
        FileNotFoundError: nothing is there.
    """
    fs, inner = filesystem(path)
    if fs is _DISK:
        return cast(BinaryIO, bytes_read.CountedFile(inner, "rb"))
    return objects.open_read(fs, inner, redact(path), READ_BLOCK)


def open_table(path: str, size: int | None = None, pieces: int = 1) -> BinaryIO:
    """``path`` for a reader that seeks, as parquet's does: nothing is read but what it asks for.

    ``size``: bytes, where they are known; it saves a request. A small file comes whole unless only one of many
    ``pieces`` is wanted.

    Raises:
        FileNotFoundError: nothing is there.
    """
    fs, inner = filesystem(path)
    if fs is _DISK:
        return open_read(path)
    whole = objects.WHOLE if pieces <= 8 else objects.PIECE
    return objects.open_table(fs, inner, redact(path), size, whole)


def read_bytes(path: str) -> bytes:
    """The whole of a small file."""
    with open_read(path) as file:
        return file.read()


def read_blocks(path: str, blocks: Sequence[Range]) -> Sequence[bytes | memoryview]:
    """The bytes of each block: from a store many requests at a time. ``store.ranges`` makes few blocks of many.

    Raises:
        InputError: the file is shorter.
    """
    held = _read_blocks(path, blocks) if blocks else ()
    for (offset, size), data in zip(blocks, held, strict=True):
        if len(data) != size:
            raise InputError(
                f"`{redact(path)}` has changed: {size} bytes at {offset} wanted, {len(data)} "
                "there; run again with --accept-changed"
            )
    return held


def _read_blocks(path: str, blocks: Sequence[Range]) -> Sequence[bytes | memoryview]:
    fs, inner = filesystem(path)
    if fs is not _DISK:
        return objects.fetch_all(fs, inner, redact(path), blocks)
    with open_read(path) as file:
        return [_pread(file.fileno(), offset, size) for offset, size in blocks]


def _pread(descriptor: int, offset: int, size: int) -> memoryview:
    import pyarrow as pa

    # Arrow keeps what is freed. C's allocator hands it back to the system, and fresh pages cost as much as a copy.
    data = memoryview(pa.allocate_buffer(size)).cast("B")
    done = 0
    # One call moves at most about 2 GB.
    while done < size and (more := os.preadv(descriptor, [data[done:]], offset + done)):
        done += more
    bytes_read.READ.add(done)
    return data[:done]


@contextmanager
def write_atomic(path: str) -> Iterator[BinaryIO]:
    """A binary file that stands at ``path`` once the block has ended well, and not otherwise.

    Local: a hidden neighbour, flushed, synced and renamed. Elsewhere: the object is there when its
    upload is complete.

    Raises:
        StorageError: the store refuses it, or the disk has no room.
    """
    fs, inner = filesystem(path)
    if fs is _DISK:
        with local.written(inner) as file:
            yield file
        return
    with objects.upload(fs, inner, redact(path)) as file:
        yield file


def clear_partial(path: str) -> None:
    """Remove what killed writers have left in a directory; nobody may be writing there now."""
    fs, inner = filesystem(path)
    if fs is _DISK:
        local.clear_partial(inner)


def write_bytes(path: str, data: bytes) -> None:
    """Put ``data`` at ``path``, whole or not at all."""
    with write_atomic(path) as file:
        file.write(data)


def nearest(path: str) -> str:
    """Where a path that is not there ends, and what is there, as words for a message."""
    fs, inner = filesystem(path)
    folder = parent(inner)
    while folder not in {"", "/"} and not fs.isdir(folder):
        folder = parent(folder)
    if not fs.isdir(folder):
        return "no part of the path exists"
    names = sorted(str(name).rstrip("/").rpartition("/")[2] for name in fs.ls(folder, detail=False))
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    place = folder if fs is _DISK else str(fs.unstrip_protocol(folder))
    return f"the nearest directory is `{redact(place)}`, which holds {shown or 'nothing'}"


def copy(source: str, target: str) -> None:
    """Put the bytes of ``source`` at ``target``, whole or not at all, a block at a time."""
    with open_read(source) as file, write_atomic(target) as out:
        shutil.copyfileobj(file, out, READ_BLOCK)


def create(path: str, data: bytes) -> bool:
    """Put ``data`` at ``path`` if nothing stands there; False where something does. Of two at once one succeeds."""
    fs, inner = filesystem(path)
    if fs is _DISK:
        return local.create(inner, data)
    return objects.create(fs, inner, redact(path), data)
