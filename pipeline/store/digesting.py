"""A file that digests what is written through it, so that nothing has to be read again to know its hash."""

from __future__ import annotations

from typing import Any, BinaryIO, Protocol


class Hash(Protocol):
    """hashlib's and xxhash's interface."""

    def update(self, data: Any, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Of all bytes so far."""


class Writable(Protocol):
    """What a format writes to."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Take bytes; how many were taken."""


class Digesting:
    """Write-only; closing it leaves the file below open."""

    def __init__(self, file: BinaryIO, digest: Hash) -> None:
        self._file: BinaryIO | None = file
        self._hash, self.written = digest, 0
        self.closed = False

    def abandon(self) -> None:
        """Swallow what is still written: a parquet writer that is thrown away writes its footer all the same."""
        self._file = None

    def write(self, data: Any) -> int:
        """Digest and pass on."""
        view = memoryview(data).cast("B")
        if self._file is None:
            return len(view)
        self._hash.update(view)
        self._file.write(view)
        self.written += len(view)
        return len(view)

    def hexdigest(self) -> str:
        """Of what was written since the hash was last replaced."""
        return self._hash.hexdigest()

    def take_digest(self, fresh: Hash) -> str:
        """Of what was written since the last call; ``fresh`` digests what comes next."""
        digest, self._hash = self._hash.hexdigest(), fresh
        return digest

    def tell(self) -> int:
        """Bytes written."""
        return self.written

    def flush(self) -> None:
        """Pass on."""
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
        """The file below is its opener's to close."""
        self.closed = True
