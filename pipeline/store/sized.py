"""A file of a known size that a reader moves about in."""

from __future__ import annotations

import io


class Sized(io.RawIOBase):
    """What such a file does beside reading: ``read`` or ``readinto`` is its own."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._at, self._size = 0, size

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The offset of the next read, in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` bytes from the start, the present offset or the end; returns the new one."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at
