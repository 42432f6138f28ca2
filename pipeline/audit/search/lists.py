"""Lists of an index that were read lately, for a process that answers many queries.

Reading lists is most of the time of a query. What is kept is known by the digest of its bytes, so that a run which
changes meanwhile is never answered from what it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pyarrow as pa

from tamis.pipeline.store.recent import Recent
from tamis.pipeline.tables.part_files import Slice

MOST_BYTES = 256 << 20
"""Bytes that are kept: a quarter of a million vectors of 512 halves."""


class RecentLists:
    """Tables by the digest of their bytes; those that were asked for last, up to ``most`` bytes."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._kept: Recent[str, pa.Table] = Recent(most, lambda table: int(table.nbytes))
        self._lock = threading.Lock()

    def table(self, piece: Slice, read: Callable[[Slice], pa.Table]) -> pa.Table:
        """The table of ``piece``, which ``read`` reads where it is not kept."""
        with self._lock:
            found = self._kept.get(piece.identity)
        if found is None:
            found = read(piece)
            with self._lock:
                self._kept.keep(piece.identity, found)
        return found
