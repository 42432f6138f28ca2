"""A file that digests the bytes written through it, so that they need not be read again for their hash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO, Protocol


class Hash(Protocol):
    """The interface that hashlib and xxhash share."""

    def update(self, data: Any, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Digest of all bytes so far."""


class Writable(Protocol):
    """The part of a file that a format's writer uses."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Take bytes and return their number."""


class WritesMany(Writable, Protocol):
    """The same of a file that takes many pieces in one call."""

    def writelines(self, pieces: Sequence[bytes | memoryview], /) -> None:
        """Take the bytes of all pieces, one after another."""


class DigestingFile:
    """A write-only file over another; closing it leaves the other open."""

    def __init__(self, file: BinaryIO, digest: Hash) -> None:
        self._file: BinaryIO | None = file
        self._hash, self.written = digest, 0
        self.closed = False

    def abandon(self) -> None:
        """Discard all later writes: a parquet writer that is thrown away still writes its footer."""
        self._file = None

    def write(self, data: Any) -> int:
        """Digest ``data`` and write it to the file below."""
        view = memoryview(data).cast("B")
        if self._file is None:
            return len(view)
        self._hash.update(view)
        self._file.write(view)
        self.written += len(view)
        return len(view)

    def writelines(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Digest the bytes of all pieces, and hand them to the file below in one call."""
        if self._file is None:
            return
        for piece in pieces:
            self._hash.update(piece)
            self.written += len(piece)
        self._file.writelines(pieces)

    def hexdigest(self) -> str:
        """Digest of the bytes since the hash was last replaced."""
        return self._hash.hexdigest()

    def take_digest(self, fresh: Hash) -> str:
        """Digest of the bytes since the last call; ``fresh`` digests those that follow."""
        digest, self._hash = self._hash.hexdigest(), fresh
        return digest

    def tell(self) -> int:
        """Bytes written."""
        return self.written

    def flush(self) -> None:
        """Flush the file below."""
        if self._file is not None:
            self._file.flush()

    def seekable(self) -> bool:
        """Never."""
        return False

    def readable(self) -> bool:
        """Never."""
        return False

    def writable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Close this file; the opener of the file below closes that one."""
        self.closed = True
