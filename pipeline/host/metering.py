"""Measurement of a task in its process: processor time, bytes, memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tamis.pipeline.host.bytes_read import READ
from tamis.schemas.events import Spent

_warm: set[Callable[..., Any]] = set()
"""Functions that this process has called: the first task of each pays for imports and models."""


class Meter:
    """A meter that counts from its construction. A process does one task at a time."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._cold = function not in _warm
        _warm.add(function)
        self._read = READ.total
        with suppress(OSError):  # systems other than Linux lack the file
            Path("/proc/self/clear_refs").write_bytes(b"5")  # the peak begins anew: proc(5)
        self._cpu = time.process_time()

    def spent(self, written: int) -> Spent:
        """Use since the construction, by a task that wrote ``written`` bytes."""
        return Spent(
            time.process_time() - self._cpu,
            READ.total - self._read,
            written,
            _peak(),
            self._cold,
        )


def _peak() -> int:
    """Bytes of the largest resident set since the peak was last reset; 0 where the system has no such figure."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0
