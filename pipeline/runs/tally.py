"""How far tasks at work on Ray are: an actor that workers send their numbers to now and then; nothing here imports Ray.

What is held grows with the workers alone, and what is sent does not even with them: the more there are, the more rarely
each tells. Without the actor, or where a message is lost, a run goes on as it would, and is only told later.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from typing import Any
from uuid import uuid4

MESSAGES = 50
"""Messages a second from all workers together, at most."""

OFTEN = 1.0
"""Seconds between two messages of one worker, and between two questions of the driver, at least."""

PATIENCE, ANSWERED = 5.0, 0.5
"""Seconds since the last question after which the next is waited for, and for how long."""

WORKER = uuid4().hex
"""This process among all workers."""


class Tally:
    """The actor: rows of the task that each worker is at. A new pass over tasks forgets those of the one before, and
    with them those of workers that have died.
    """

    def __init__(self) -> None:
        self._number = 0
        self._rows: dict[str, int] = {}

    def tell(self, number: int, worker: str, rows: int) -> None:
        """A worker of that pass has done so many rows of its task; of none it needs no place."""
        if number > self._number:
            self._number, self._rows = number, {}
        if number == self._number:
            self._rows[worker] = rows
            if not rows:
                del self._rows[worker]

    def rows(self, number: int) -> int:
        """The rows of all tasks at work of that pass."""
        return sum(self._rows.values()) if number == self._number else 0


class Teller:
    """A worker's side, for ``at_work.tell_by``: sends the number every so many seconds of a task, and 0 at its end. Of
    a shorter task nothing is sent.
    """

    def __init__(self, tally: Any, number: int, workers: int) -> None:
        self._tally, self._number = tally, number
        self._seconds = max(OFTEN, workers / MESSAGES)
        self._sent, self._at = 0, 0.0

    def __call__(self, rows: int) -> None:
        """So many rows of the task at work are done; of a new one none."""
        now = time.monotonic()
        due = now - self._at >= self._seconds if rows else self._sent > 0
        if due:
            self._tally.tell.remote(self._number, WORKER, rows)
            self._sent = rows
        if due or not rows:
            self._at = now


class Asked:
    """The driver's side, for ``at_work.show``: what the actor last answered, less what has ended since."""

    def __init__(self, tally: Any) -> None:
        self._tally, self._number, self._rows = tally, 0, 0
        self._answer: Future[int] | None = None
        self._at = 0.0  # of the last question
        self._lock = threading.Lock()  # observers ask from threads of their own

    def begin(self, workers: int) -> Teller:
        """A new pass over tasks begins; its workers tell by what is returned."""
        with self._lock:
            self._number += 1
            self._answer, self._rows = None, 0
        return Teller(self._tally, self._number, workers)

    def ended(self, rows: int) -> None:
        """A task of so many rows has ended: they are counted elsewhere now."""
        with self._lock:
            self._rows = max(0, self._rows - rows)

    def rows(self) -> int:
        """The rows of all tasks at work that are done, as they were about a second ago."""
        with self._lock:
            now = time.monotonic()
            if self._answer is None and now - self._at >= OFTEN:
                self._at, seldom = now, now - self._at >= PATIENCE
                self._answer = self._tally.rows.remote(self._number).future()
                if seldom:  # what was answered before is old
                    wait([self._answer], ANSWERED)
            if self._answer is not None and self._answer.done():
                if self._answer.exception() is None:  # else the actor is gone: the number stays
                    self._rows = self._answer.result()
                self._answer = None
            return self._rows

    def close(self) -> None:
        """Ask no more: to ask would start Ray again."""
        with self._lock:
            self._at = float("inf")
