"""Says aloud that nothing has happened for a while, and what is being waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType


class Watchdog:
    """While the ``with`` block lasts, calls ``bark`` after every ``seconds`` without a ``feed``, in its own thread.

    It ends nothing: that a task is slow is no proof that it will never end.
    """

    def __init__(self, seconds: float, bark: Callable[[float], None]) -> None:
        """``bark`` is told for how many seconds nothing has happened."""
        self._seconds, self._bark = seconds, bark
        self._fed = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="tamis-watchdog")

    def __enter__(self) -> Watchdog:
        self._fed = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def feed(self) -> None:
        """Something has happened."""
        self._fed = time.monotonic()

    def _watch(self) -> None:
        barked = 0.0
        while True:
            last = max(self._fed, barked)
            if self._stop.wait(max(0.0, last + self._seconds - time.monotonic())):
                return
            if time.monotonic() - max(self._fed, barked) >= self._seconds:
                barked = time.monotonic()
                self._bark(barked - self._fed)
