"""Errors about a file's content, apart from want of memory and from failures of the disk.

Only the first are damage: a row is dropped for it, or a table made again. What a machine lacks today it may have
tomorrow, and a result must not depend on it.
"""

from __future__ import annotations

import errno

import pyarrow as pa

from tamis.schemas.errors import StorageError
from tamis.schemas.redaction import redact

CONTENT = (
    OSError,
    pa.ArrowCapacityError,
    pa.ArrowIndexError,
    pa.ArrowInvalid,
    pa.ArrowKeyError,
    pa.ArrowNotImplementedError,
    pa.ArrowSerializationError,
    pa.ArrowTypeError,
)
"""Errors of pyarrow on damaged bytes, which may be others in disguise: ``require_content`` tells. Its MemoryError and
its interruption are errors of their own.
"""

MEMORY_WORDS = ("bad_alloc", "alloc of size", "out of memory", "insufficient memory")
"""In the messages of libraries that report a want of memory as any other error."""


def lacks_memory(error: BaseException) -> bool:
    """Whether an error is a want of memory, whatever its class."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or any(word in words for word in MEMORY_WORDS)


def require_content(error: BaseException, path: str) -> None:
    """Return if ``error`` is about a file's content, or says that there is no file.

    Raises:
        MemoryError: memory ran out.
        StorageError: the system call failed: an error of the content has no number.
    """
    if lacks_memory(error):
        raise MemoryError(str(error)) from error
    if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
        raise StorageError(f"`{redact(path)}`: {error.strerror or error}") from error
