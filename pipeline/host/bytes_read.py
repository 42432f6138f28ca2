"""The count of bytes that this process has read from storage; ``pipeline.store`` adds to it."""

from __future__ import annotations

import io
import threading
from typing import Any


class Count:
    """A number that only grows, whichever thread adds to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = 0

    @property
    def total(self) -> int:
        """Sum since the process began."""
        return self._total

    def add(self, number: int) -> None:
        """Add ``number`` to the total."""
        with self._lock:
            self._total += number

    def counted(self, data: bytes) -> bytes:
        """Count the length of ``data`` and return it."""
        self.add(len(data))
        return data


READ = Count()
"""Bytes that this process has read from storage."""


class CountedFile(io.FileIO):
    """An unbuffered local file whose reads are counted."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read and count up to ``size`` bytes."""
        return READ.counted(super().read(-1 if size is None else size))

    def readall(self) -> bytes:
        """Read and count the rest of the file."""
        return READ.counted(super().readall())

    def readinto(self, buffer: Any, /) -> int:
        """Fill ``buffer`` and count the bytes read."""
        size = super().readinto(buffer)
        READ.add(size)
        return size
