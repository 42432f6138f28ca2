"""Chunks on their way from the driver to the workers of a pipeline: an actor of Ray's; nothing here imports Ray."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

PATIENCE = 5.0
"""Seconds after which a worker that waits is told that there is no chunk yet."""


class Feed:
    """A few of ``total`` chunks: the driver adds where there is room, workers take the next as they are free.

    Ray may swap calls that follow each other closely, so that the counts decide, and not who came last.
    """

    def __init__(self, total: int, capacity: int, patience: float = PATIENCE) -> None:
        self._total, self._capacity, self._patience = total, capacity, patience
        self._added = 0
        self._chunks: deque[bytes] = deque()
        self._changed = asyncio.Condition()

    async def room(self, added: int) -> int:
        """The number of chunks that it still takes, once all that were ``added`` are here."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._added >= added)
            return self._capacity - len(self._chunks)

    async def add(self, chunks: Sequence[bytes]) -> None:
        """Add some."""
        async with self._changed:
            self._chunks.extend(chunks)
            self._added += len(chunks)
            self._changed.notify_all()

    async def take(self) -> bytes | None:
        """The next chunk; empty where none has come for long, None where none will."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience), self._changed:
                await self._changed.wait_for(lambda: self._chunks or self._added == self._total)
        if self._chunks:
            return self._chunks.popleft()
        return None if self._added == self._total else b""
