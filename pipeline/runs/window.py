"""The tasks of a phase that are at work, looked at when they are handed out, forgotten when they are back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from tamis.pipeline.tasks.perform import Work

ROUNDS = 4
"""Chunks that a worker is still to get of what is left: so the last are small, and no worker idles beside another's."""

CALL = 32
"""Tasks that a worker is given together, at most."""

CALL_SECONDS = 1.0
"""Seconds that those are to take, about: of a call the outcomes come back together, and a worker may die with it."""


class Pace:
    """The times of a phase's tasks so far."""

    def __init__(self) -> None:
        self._seconds, self._tasks = 0.0, 0

    def count(self, seconds: float) -> None:
        """Count a task."""
        self._seconds, self._tasks = self._seconds + seconds, self._tasks + 1

    def most(self) -> int:
        """The number of tasks that a worker is to be given together: one until one has ended, then ``CALL`` at most."""
        if not self._tasks:
            return 1
        return max(1, min(CALL, int(CALL_SECONDS * self._tasks / max(self._seconds, 1e-9))))


class Window:
    """The tasks of a phase, each looked at once, in order; those that are handed out and not back are held."""

    def __init__(self, works: Sequence[Work]) -> None:
        self.left = len(works)  # not handed out yet
        self._works = iter(works)
        self._out: dict[str, Work] = {}

    @property
    def out(self) -> int:
        """The number of tasks that are handed out and not back."""
        return len(self._out)

    def take(self, count: int) -> list[Work]:
        """Hand out the next ``count``, or as many as there are."""
        taken = list(islice(self._works, min(count, self.left)))
        self.left -= len(taken)
        self._out.update((work.name, work) for work in taken)
        return taken

    def path(self, name: str) -> str:
        """The path of the file of a task that is handed out."""
        return self._out[name].path

    def back(self, name: str) -> None:
        """Forget a task: its outcome is here."""
        del self._out[name]

    def missing(self) -> list[Work]:
        """Tasks that were handed out without an outcome, then those that never were."""
        return [*self._out.values(), *self.take(self.left)]


def chunk(left: int, slots: int, most: int) -> int:
    """The number of the ``left`` tasks that one of ``slots`` workers gets next, at most ``most``."""
    return max(1, min(most, left // (ROUNDS * slots)))


def chunks(count: int, slots: int, most: int) -> Iterator[int]:
    """The sizes of all chunks of ``count`` tasks."""
    while count:
        size = chunk(count, slots, most)
        yield size
        count -= size
