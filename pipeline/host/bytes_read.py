"""How many bytes this process has read from storage: ``pipeline.store`` counts here."""

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
        """Since the process began."""
        return self._total

    def add(self, number: int) -> None:
        """Count ``number`` more."""
        with self._lock:
            self._total += number

    def counted(self, data: bytes) -> bytes:
        """``data`` itself, its length counted."""
        self.add(len(data))
        return data


READ = Count()
"""Bytes read."""


class CountedFile(io.FileIO):
    """A file of this machine, unbuffered, whose reads are counted."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file."""
        return READ.counted(super().read(-1 if size is None else size))

    def readall(self) -> bytes:
        """As of any file."""
        return READ.counted(super().readall())

    def readinto(self, buffer: Any, /) -> int:
        """As of any file."""
        size = super().readinto(buffer)
        READ.add(size)
        return size
