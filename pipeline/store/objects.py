"""How objects of a store are read and written through its fsspec client. ``pipeline.store.storage`` alone uses this.

A store fails in ways that a disk does not: after the client's own retries what remains is a ``StorageError``,
never an ``OSError``, which a reader of damaged files would take for damage.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from tamis.pipeline.host.bytes_read import READ
from tamis.pipeline.store.redaction import redact_text
from tamis.schemas.errors import StorageError

if TYPE_CHECKING:
    import fsspec

WHOLE = 1 << 20
"""Bytes: a table up to this size is fetched by one request rather than footer first."""

WRITE_BLOCK = 16 << 20
"""Bytes of a part of a multipart upload; what a writer holds of its file."""

PIECE = 1 << 16
"""Bytes: the same for a reader that wants one of many row groups; a footer is read in such pieces anyway."""

RETRIES = 8
"""Tries of one request, 0.1 s apart at first and 1.7 times longer each: ten seconds in all."""

CLIENTS = {"aiobotocore", "aiohttp", "azure", "botocore", "fsspec", "gcsfs", "google", "s3fs"}
"""Packages whose exceptions are a store's failures, not our mistakes."""

DENIED = (
    "AccessDenied",
    "Forbidden",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
)


@contextmanager
def told(shown: str) -> Iterator[None]:
    """Turn a client's error into one line about ``shown``, without the secrets of URLs that the client quotes.

    "Not there" and "there already" stay what they are.

    Raises:
        StorageError: the store refused, or did not answer.
    """
    try:
        yield
    except (FileExistsError, StorageError):
        raise
    except FileNotFoundError as error:  # the client's own message would show the whole URL
        if not _is_refusal(error.__cause__):
            raise FileNotFoundError(errno.ENOENT, "no such object", shown) from None
        raise StorageError(f"`{shown}`: {_why(error.__cause__)}") from error
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in CLIENTS:
            raise
        raise StorageError(f"`{shown}`: {_why(error)}") from error


def _is_refusal(cause: BaseException | None) -> bool:
    """Whether a web server, whose client calls everything "not there", was not reached or said something else."""
    web = type(cause).__module__.split(".")[0] == "aiohttp"
    return web and getattr(cause, "status", None) not in {404, 410}


def _why(error: BaseException | None) -> str:
    why = " ".join(redact_text(str(error)).split()) or type(error).__name__
    if "NoCredentials" in type(error).__name__:
        return "no credentials: set AWS_ACCESS_KEY_ID, a profile, or the machine's role"
    denied = isinstance(error, PermissionError) or getattr(error, "status", None) in {401, 403}
    if denied or any(word in why for word in DENIED):
        return f"access denied ({why}): these credentials have no right to it"
    return why


def _is_beyond(error: BaseException) -> bool:
    """Whether a range was refused because the object ends before it."""
    text = str(error)
    return any(word in text for word in ("InvalidRange", "416", "not satisfiable"))


def _read(client: Callable[[], bytes], shown: str) -> bytes:
    """What a client reads; nothing where an object has become so short that it ends before."""
    try:
        with told(shown):
            return READ.counted(client())
    except StorageError as error:
        if error.__cause__ is not None and _is_beyond(error.__cause__):
            return b""
        raise


def fetch_all(
    fs: fsspec.AbstractFileSystem, path: str, shown: str, blocks: Sequence[tuple[int, int]]
) -> list[bytes]:
    """Each (offset, size), one request a block, many at a time; shorter where the object ends."""
    starts = [offset for offset, _ in blocks]
    ends = [offset + size for offset, size in blocks]
    found = fs.cat_ranges([path] * len(blocks), starts, ends, on_error="return")
    return [_settled(data, shown) for data in found]


def _settled(data: bytes | BaseException, shown: str) -> bytes:
    if not isinstance(data, BaseException):
        return READ.counted(data)
    if _is_beyond(data):
        return b""
    with told(shown):
        raise data


class _Guarded(io.RawIOBase):
    """A client's file. Closing one that is written commits nothing: that is its opener's to do."""

    def __init__(self, file: Any, shown: str) -> None:
        self._file, self._shown = file, shown

    def readable(self) -> bool:
        return bool(self._file.readable())

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def writable(self) -> bool:
        return bool(self._file.writable())

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def read(self, size: int | None = -1) -> bytes:
        return _read(lambda: self._file.read(-1 if size is None else size), self._shown)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        with told(self._shown):
            return int(self._file.write(data))

    def close(self) -> None:
        if not self.closed and self.readable():
            self._file.close()
        super().close()


def open_read(fs: fsspec.AbstractFileSystem, path: str, shown: str, block: int) -> BinaryIO:
    """An object for a sequential reader: ``block`` bytes ahead, and all from one version of the object."""
    with told(shown):
        file = fs.open(path, "rb", block_size=block, cache_type="readahead")
    return cast(BinaryIO, _Guarded(file, shown))


def open_table(
    fs: fsspec.AbstractFileSystem, path: str, shown: str, size: int | None, whole: int = WHOLE
) -> BinaryIO:
    """An object for a reader that seeks. With ``size`` (bytes) nothing is asked before the first read.

    Up to ``whole`` bytes it is fetched by one request.
    """
    from fsspec.spec import AbstractBufferedFile

    if size is None:
        with told(shown):
            size = int(fs.info(path)["size"])
    if size <= whole:
        return io.BytesIO(_read(lambda: fs.cat_file(path, start=0, end=size), shown))
    # The client's own file would ask for the object's tag first, also where the size is known.
    file = AbstractBufferedFile(fs, path, cache_type="none", size=size)
    return cast(BinaryIO, _Guarded(file, shown))


@contextmanager
def upload(fs: fsspec.AbstractFileSystem, path: str, shown: str) -> Iterator[BinaryIO]:
    """A file that is an object once the block has ended well, and nothing otherwise.

    Up to WRITE_BLOCK it is one PUT; beyond, a multipart upload that its last request commits.
    """
    if not fs.async_impl:
        buffer = io.BytesIO()
        yield buffer
        with told(shown):
            fs.pipe_file(path, buffer.getvalue())
        return
    file = fs.open(path, "wb", block_size=WRITE_BLOCK)
    try:
        yield cast(BinaryIO, _Guarded(file, shown))
        with told(shown):
            file.close()
    except BaseException:
        file.closed = True  # else its finaliser would commit what there is
        file.discard()
        raise


def create(fs: fsspec.AbstractFileSystem, path: str, shown: str, data: bytes) -> bool:
    """Put an object where none stands (S3: a PUT with If-None-Match); False where one does."""
    try:
        with told(shown):
            fs.pipe_file(path, data, mode="create")
    except FileExistsError:
        return False
    except StorageError as error:  # s3fs: a code that it does not know is a plain OSError
        if any(word in str(error) for word in ("PreconditionFailed", "ConditionalRequestConflict")):
            return False
        raise
    return True
