"""A watchdog: it reports that nothing has happened for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Watchdog:
    """Calls ``bark`` after every ``seconds`` without a ``feed`` inside the ``with`` block, in a thread of its own.

    It ends nothing: a slow task may still end.
    """

    def __init__(self, seconds: float, bark: Callable[[float], None]) -> None:
        """``bark`` takes the seconds since the last ``feed``."""
        self._seconds, self._bark = seconds, bark
        self._fed = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="tamis-watchdog")

    def __enter__(self) -> Watchdog:
        self._fed = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def feed(self) -> None:
        """Start the wait again: something has happened."""
        self._fed = time.monotonic()

    def _watch(self) -> None:
        last_bark = 0.0
        while True:
            last = max(self._fed, last_bark)
            if self._stop.wait(max(0.0, last + self._seconds - time.monotonic())):
                return
            if time.monotonic() - max(self._fed, last_bark) >= self._seconds:
                last_bark = time.monotonic()
                self._bark(last_bark - self._fed)
