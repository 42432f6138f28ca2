"""Ctrl-C and SIGTERM, where they must not cut something in two: while Ray starts or ends, while the lease is taken or
given back. There they wait.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]

SIGNALS = (signal.SIGINT, signal.SIGTERM)

PATIENCE = 2
"""Signals that wait at once: one keystroke may come twice, from the terminal and from a parent. A third passes."""


class Held:
    """What ``held`` gives. Signals that the process does not handle in Python (ignored, or deadly) stay as they are."""

    def __init__(self) -> None:
        self._set = signal.signal
        mine = threading.current_thread() is threading.main_thread()
        found = {number: signal.getsignal(number) for number in SIGNALS}
        self._own: dict[int, Handler] = {
            n: own for n, own in found.items() if mine and callable(own)
        }
        self._waiting: list[int] = []
        self._raised: int | None = None

    def close(self) -> None:
        """From now on they wait. Handlers that others set are not taken: Ray sets one for SIGTERM as it starts."""
        for number in self._own:
            self._set(number, self._wait)
        if self._own:
            _replace_setter(self._refuse)

    def release(self) -> None:
        """As before ``held``; what waits is raised."""
        self._give(self._own)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Inside, a signal is raised at once; what follows on it waits while the block is left."""
        try:
            self._give(dict.fromkeys(self._own, self._first))
            yield
            self.check()
        finally:
            self.close()

    def check(self) -> None:
        """Raise once more what was raised inside ``opened`` and is lost: of a finaliser's error Python only tells."""
        if self._raised is not None:
            number, self._raised = self._raised, None
            self._own[number](number, None)

    def _give(self, handlers: dict[int, Handler]) -> None:
        if self._own:
            _replace_setter(self._set)
        for number, handler in handlers.items():
            self._set(number, handler)
        if self._waiting:
            number, self._waiting = self._waiting[0], []
            handlers[number](number, None)

    def _first(self, number: int, frame: FrameType | None) -> None:
        self.close()
        self._raised = number
        self._own[number](number, frame)

    def _wait(self, number: int, frame: FrameType | None) -> None:
        self._waiting.append(number)
        if len(self._waiting) > PATIENCE:
            self._waiting.clear()
            self._own[number](number, frame)

    def _refuse(self, number: int, handler: Any) -> Any:
        return signal.getsignal(number) if number in self._own else self._set(number, handler)


def _replace_setter(setter: Any) -> None:
    signal.signal = setter


@contextmanager
def held() -> Iterator[Held]:
    """Signals wait until the block ends, and are raised there. Only the main thread gets any: in others, nothing."""
    hold = Held()
    hold.close()
    try:
        yield hold
    finally:
        hold.release()
