"""Ctrl-C and SIGTERM: deferred while Ray starts or ends and while the lease changes hands; heard in long calls."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

Result = TypeVar("Result")

Handler = Callable[[int, FrameType | None], Any]

SIGNALS = (signal.SIGINT, signal.SIGTERM)

PATIENCE = 2
"""Signals that may wait; one more is raised at once. A keystroke may come twice: from the terminal and a parent."""


class Deferral:
    """Deferred signals. Those without a handler in Python, which are ignored or end the process, stay as they are."""

    def __init__(self) -> None:
        self._set = signal.signal
        is_main = threading.current_thread() is threading.main_thread()
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        self._handlers: dict[int, Handler] = {
            number: handler for number, handler in handlers.items() if is_main and callable(handler)
        }
        self._waiting: list[int] = []
        self._raised: int | None = None

    def begin(self) -> None:
        """Let signals wait from now on. Refuse other handlers: Ray sets one for SIGTERM as it starts."""
        for number in self._handlers:
            self._set(number, self._wait)
        if self._handlers:
            _replace_setter(self._refuse)

    def end(self) -> None:
        """Restore the former handlers, and raise the first signal that waits."""
        self._restore(self._handlers)

    @contextmanager
    def deliver(self) -> Iterator[None]:
        """Raise the first signal inside the block at once; later ones wait while the block is left."""
        try:
            self._restore(dict.fromkeys(self._handlers, self._first))
            yield
            self.check()
        finally:
            self.begin()

    def check(self) -> None:
        """Raise again a signal inside ``deliver`` whose error was lost: Python only prints errors of finalisers."""
        if self._raised is not None:
            number, self._raised = self._raised, None
            self._handlers[number](number, None)

    def _restore(self, handlers: dict[int, Handler]) -> None:
        if self._handlers:
            _replace_setter(self._set)
        for number, handler in handlers.items():
            self._set(number, handler)
        if self._waiting:
            number, self._waiting = self._waiting[0], []
            handlers[number](number, None)

    def _first(self, number: int, frame: FrameType | None) -> None:
        self.begin()
        self._raised = number
        self._handlers[number](number, frame)

    def _wait(self, number: int, frame: FrameType | None) -> None:
        self._waiting.append(number)
        if len(self._waiting) > PATIENCE:
            self._waiting.clear()
            self._handlers[number](number, frame)

    def _refuse(self, number: int, handler: Any) -> Any:
        if number in self._handlers:
            return signal.getsignal(number)
        return self._set(number, handler)


def _replace_setter(setter: Any) -> None:
    signal.signal = setter


@contextmanager
def defer() -> Iterator[Deferral]:
    """Defer signals until the block ends, and raise one there. Only the main thread gets signals: others do nothing."""
    deferral = Deferral()
    deferral.begin()
    try:
        yield deferral
    finally:
        deferral.end()


HEARING_SECONDS = 0.1
"""Between two looks at whether a long call has ended, at which signals are heard."""

ENDING_SECONDS = 3.0
"""Seconds that a call gets to end in once it is interrupted; then the process ends without it."""

STOPPED = 128
"""Added to a signal's number it is the exit code of a process that ended by it."""


def interruptible(call: Callable[[], Result], interrupt: Callable[[], object]) -> Result:
    """The result of a call of native code, in which Python hears no signal: the main thread waits for it in another.

    A signal calls ``interrupt``, and is raised once the call has ended; if that does not happen, the process ends.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    ended = threading.Event()
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the thread that asked
            errors.append(error)
        finally:
            ended.set()

    threading.Thread(target=run, daemon=True, name="tamis-call").start()
    try:
        while not ended.wait(HEARING_SECONDS):
            pass
    except KeyboardInterrupt as stop:
        interrupt()
        if not ended.wait(ENDING_SECONDS):
            os._exit(STOPPED + int(getattr(stop, "number", signal.SIGINT)))
        raise
    if errors:
        raise errors[0]
    return results[0]
