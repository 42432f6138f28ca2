"""Objects of a store, read and written through its fsspec client. Only ``pipeline.store.storage`` uses this module.

After the client's own retries a failure of the store is a ``StorageError``, never an ``OSError``, which a reader of
damaged files would take for damage. ``name`` is an object's URL as messages show it, without secrets.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from tamis.pipeline.host.bytes_read import READ
from tamis.pipeline.store.sized import Sized
from tamis.schemas.errors import InputError, StorageError
from tamis.schemas.redaction import redact_text

if TYPE_CHECKING:
    import fsspec

WHOLE = 1 << 20
"""Bytes up to which a table is fetched by one request rather than footer first."""

WRITE_BLOCK = 16 << 20
"""Bytes of a part of a multipart upload, which a writer holds in memory."""

PIECE = 1 << 16
"""WHOLE for a reader of one of many row groups; pyarrow reads a footer in blocks of this size anyway."""

PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "'tamis[s3]'"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("abfs", "abfss", "az"), "adlfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    "hf": "huggingface_hub",
    "sftp": "paramiko",
}
"""Protocol -> what pip installs for it."""

RETRIES = 8
"""Tries of one request: waits begin at 0.1 s and grow by 1.7, ten seconds in all."""

OURS = {"builtins", "pyarrow", "tamis"}
"""Packages whose exceptions may be bugs of ours; those of any other are a client's, and failures of its store."""

OF_ADDRESSES = {AttributeError, IndexError, KeyError, TypeError, ValueError}
"""What clients raise of an address that they cannot take apart."""

DENIED = (
    "AccessDenied",
    "Forbidden",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
)


def no_path(path: str) -> str:
    """The reason why a text is no path of anything: it is empty, or has a NUL."""
    if "\0" in path:
        return f"`{path}`: no path has a NUL character in it"
    return f"{path!r} is no path: a variable of the shell that is not set? Name a file or directory"


def not_installed(protocol: str | None, why: str) -> str:
    """The mend where the client of ``protocol`` cannot be imported; ``why``: as fsspec says it."""
    mend = f"pip install {PACKAGES[protocol]}" if protocol in PACKAGES else why
    return f"the client of {protocol}:// is not installed: {mend}"


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Turn a client's error into one line about ``name``, without the secrets of URLs that the client quotes.

    FileNotFoundError and FileExistsError stay as they are.

    Raises:
        StorageError: the store refused, or did not answer.
        InputError: the client cannot do that at such an address.
    """
    try:
        yield
    except (FileExistsError, StorageError):
        raise
    except NotADirectoryError:
        raise FileNotFoundError(errno.ENOENT, "no such object", name) from None
    except FileNotFoundError as error:  # the client's own message would show the whole URL
        if not _is_refusal(error.__cause__):
            raise FileNotFoundError(errno.ENOENT, "no such object", name) from None
        raise StorageError(f"`{name}`: {_why(error.__cause__)}") from error
    except Exception as error:
        if isinstance(error, NotImplementedError):
            raise InputError(f"cannot open `{name}`: {_why(error)}") from error
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] in OURS:
            raise
        raise StorageError(f"`{name}`: {_why(error)}") from error


@contextmanager
def of_address(name: str) -> Iterator[None]:
    """``translate_errors`` where a client may first take an address apart; elsewhere such errors are bugs, and stay so.

    Raises:
        StorageError: as ``translate_errors``.
        InputError: the client knows no such address.
    """
    try:
        with translate_errors(name):
            yield
    except Exception as error:
        if type(error) in OF_ADDRESSES:
            raise InputError(f"cannot open `{name}`: {_why(error)}") from error
        raise


def _is_refusal(cause: BaseException | None) -> bool:
    """Whether a web server failed in another way than "not found", which its client makes of every failure."""
    web = type(cause).__module__.split(".")[0] == "aiohttp"
    return web and getattr(cause, "status", None) not in {404, 410}


def _why(error: BaseException | None) -> str:
    why = " ".join(redact_text(str(error)).split()) or type(error).__name__
    if "NoCredentials" in type(error).__name__:
        return "no credentials: set AWS_ACCESS_KEY_ID, a profile, or the machine's role"
    if isinstance(error, PermissionError) and error.filename is not None:  # of a disk
        return "permission denied: check who may read it, and the folders above it"
    denied = isinstance(error, PermissionError) or getattr(error, "status", None) in {401, 403}
    if denied or any(word in why for word in DENIED):
        return f"access denied ({why}): these credentials have no right to it"
    if isinstance(error, ConnectionError) or "Connect" in type(error).__name__:
        return f"cannot be reached ({why}): check the network and the address"
    return why


def _is_beyond(error: BaseException) -> bool:
    """Whether a range was refused because the object ends before it."""
    text = str(error)
    return any(word in text for word in ("InvalidRange", "416", "not satisfiable"))


def _read(request: Callable[[], bytes], name: str) -> bytes:
    """The bytes of a client's request; none where the object ends before the range."""
    try:
        with translate_errors(name):
            return READ.counted(request())
    except StorageError as error:
        if error.__cause__ is not None and _is_beyond(error.__cause__):
            return b""
        raise


def fetch_all(
    fs: fsspec.AbstractFileSystem, path: str, name: str, blocks: Sequence[tuple[int, int]]
) -> list[bytes]:
    """The bytes of each (offset, size), one request each, many at a time; shorter where the object ends."""
    starts = [offset for offset, _ in blocks]
    ends = [offset + size for offset, size in blocks]
    results = fs.cat_ranges([path] * len(blocks), starts, ends, on_error="return")
    return [_block(data, name) for data in results]


def _block(data: bytes | BaseException, name: str) -> bytes:
    if not isinstance(data, BaseException):
        return READ.counted(data)
    if _is_beyond(data):
        return b""
    with translate_errors(name):
        raise data


class _StoreFile(io.RawIOBase):
    """A client's file, its errors translated. To close one that is written commits nothing: its opener does."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name

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
        return _read(lambda: self._file.read(-1 if size is None else size), self._name)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        with translate_errors(self._name):
            return int(self._file.write(data))

    def close(self) -> None:
        if not self.closed and self.readable():
            self._file.close()
        super().close()


class TableObject(Sized):
    """An object for a reader that seeks: a request each read, but for the bytes that ``fetch`` got before.

    The client's own file would request the object's tag first, even with a known size.
    """

    def __init__(self, fs: fsspec.AbstractFileSystem, path: str, name: str, size: int) -> None:
        super().__init__(size)
        self._fs, self._path, self._name = fs, path, name
        self._blocks: list[tuple[int, bytes]] = []

    def fetch(self, blocks: Sequence[tuple[int, int]]) -> None:
        """Get the bytes of each (offset, size), many requests at a time, and let go of those of the last call."""
        self._blocks = []
        data = fetch_all(self._fs, self._path, self._name, blocks)
        self._blocks = [(offset, held) for (offset, _), held in zip(blocks, data, strict=True)]

    def read(self, size: int | None = -1) -> bytes:
        """Up to ``size`` bytes, all that are left by default."""
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        data = self._bytes(self._at, self._at + wanted) if wanted else b""
        self._at += len(data)
        return data

    def _bytes(self, start: int, stop: int) -> bytes:
        for offset, held in self._blocks:
            if offset <= start and stop <= offset + len(held):
                return held[start - offset : stop - offset]
        return _read(lambda: self._fs.cat_file(self._path, start=start, end=stop), self._name)


def open_read(fs: fsspec.AbstractFileSystem, path: str, name: str, block: int) -> BinaryIO:
    """Open an object for a sequential reader: ``block`` bytes ahead, all from one version of the object."""
    with of_address(name):
        file = fs.open(path, "rb", block_size=block, cache_type="readahead")
    return cast(BinaryIO, _StoreFile(file, name))


def open_table(
    fs: fsspec.AbstractFileSystem, path: str, name: str, size: int | None, whole: int = WHOLE
) -> BinaryIO:
    """Open an object for a reader that seeks; one of up to ``whole`` bytes is fetched by one request.

    With ``size`` (bytes) there is no request before the first read.
    """
    if size is None:
        with of_address(name):
            info = fs.info(path)
        size = int(info["size"])
    if size <= whole:
        return io.BytesIO(_read(lambda: fs.cat_file(path, start=0, end=size), name))
    return cast(BinaryIO, TableObject(fs, path, name, size))


@contextmanager
def upload(fs: fsspec.AbstractFileSystem, path: str, name: str) -> Iterator[BinaryIO]:
    """A file that becomes an object once the block has ended without error.

    Up to WRITE_BLOCK it is one PUT; beyond, a multipart upload that its last request commits.
    """
    if not fs.async_impl:
        buffer = io.BytesIO()
        yield buffer
        with translate_errors(name):
            fs.pipe_file(path, buffer.getvalue())
        return
    try:
        with of_address(name):
            file = fs.open(path, "wb", block_size=WRITE_BLOCK)
    except InputError as error:
        if not isinstance(error.__cause__, NotImplementedError):
            raise
        raise StorageError(
            f"`{name}`: nothing can be written there: name a file of this machine or of an object store"
        ) from None
    try:
        yield cast(BinaryIO, _StoreFile(file, name))
        with translate_errors(name):
            file.close()
    except BaseException:
        file.closed = True  # else its finaliser would commit the parts so far
        file.discard()
        raise


def create(fs: fsspec.AbstractFileSystem, path: str, name: str, data: bytes) -> bool:
    """Put an object if there is none (S3: a PUT with If-None-Match); False if there is one."""
    try:
        with translate_errors(name):
            fs.pipe_file(path, data, mode="create")
    except FileExistsError:
        return False
    except StorageError as error:  # s3fs makes a plain OSError of a code that it does not know
        if any(word in str(error) for word in ("PreconditionFailed", "ConditionalRequestConflict")):
            return False
        raise
    return True
