"""A moving window over a stream that cannot seek: every byte is read once, hashed once, and dropped."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

CHUNK = 4 << 20
"""Bytes read at a time."""


class Window:
    """Bytes of ``stream`` by their offset in the file; those before the last offset may be dropped."""

    def __init__(self, stream: BinaryIO, chunk: int = CHUNK) -> None:
        self.data = b""
        self.start = 0
        self._stream = stream
        self._chunk = chunk
        self._digest = hashlib.sha256()
        self._ended = False

    @property
    def end(self) -> int:
        """Offset up to which the stream has been read; the file's size once it has ended."""
        return self.start + len(self.data)

    def _read(self, wanted: int) -> bytes:
        pieces: list[bytes] = []
        while wanted > 0 and not self._ended:
            piece = self._stream.read(wanted)
            self._ended = not piece
            self._digest.update(piece)
            pieces.append(piece)
            wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, offset: int) -> None:
        """Read on up to ``offset`` or the file's end; bytes before it may be dropped."""
        while self.end < offset and not self._ended:
            fresh = self._read(self._chunk)
            self.start = self.end
            self.data = fresh

    def ensure(self, offset: int, size: int) -> bool:
        """Hold ``size`` bytes from ``offset`` on; False where the file ends before."""
        wanted = offset + size
        if wanted > self.end:
            self.skip(offset)
        if wanted > self.end and not self._ended:
            fresh = self._read(max(self._chunk, wanted - self.end))
            self.data = self.data[offset - self.start :] + fresh
            self.start = offset
        return wanted <= self.end

    def bytes_at(self, offset: int, size: int) -> bytes:
        """A copy of held bytes."""
        return self.data[offset - self.start : offset - self.start + size]

    def view_at(self, offset: int, size: int) -> memoryview:
        """A view of held bytes."""
        return memoryview(self.data)[offset - self.start : offset - self.start + size]

    def sha256(self) -> bytes:
        """The hash of everything read so far."""
        return self._digest.digest()
