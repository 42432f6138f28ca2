"""What a task takes of the process that does it: processor time, bytes, memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tamis.pipeline.host.bytes_read import READ
from tamis.schemas.events import Spent

_done: set[Callable[..., Any]] = set()
"""The functions that this process has worked with: the first task of one pays for imports and models."""


class Meter:
    """Begins to count when it is made. A process does one task at a time."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._cold = function not in _done
        _done.add(function)
        self._read = READ.total
        with suppress(OSError):  # elsewhere than on Linux
            Path("/proc/self/clear_refs").write_bytes(b"5")  # the peak begins anew: proc(5)
        self._cpu = time.process_time()

    def spent(self, written: int) -> Spent:
        """Since then, by a task that wrote so many bytes."""
        return Spent(
            time.process_time() - self._cpu,
            READ.total - self._read,
            written,
            _peak(),
            self._cold,
        )


def _peak() -> int:
    """Bytes of the largest resident set since the peak was last reset; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0
