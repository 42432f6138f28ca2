"""How far the tasks at work are: rows of theirs that are done already, told by the workers.

A task's rows are counted when it ends, and one that embeds a part may take minutes. So each worker tells its number
meanwhile. Without Ray it writes it into a place of its own in memory that it shares with the process that gives it
work; workers of Ray share no memory with that, and send it now and then (``tamis.pipeline.runs.tally``). Nobody waits
for it, and nothing else depends on it.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

NUMBER = struct.Struct("=q")


class Shown(Protocol):
    """What tells the rows of tasks at work in the process that gives work."""

    def rows(self) -> int:
        """The rows of all tasks at work that are done."""


class Board:
    """The numbers of so many workers, in a file that has no name; it goes with the process that made it."""

    def __init__(self, places: int) -> None:
        self._file = os.memfd_create("at-work", os.MFD_CLOEXEC)
        os.ftruncate(self._file, NUMBER.size * places)
        self._memory = mmap.mmap(self._file, NUMBER.size * places)
        self._places = places

    @property
    def path(self) -> str:
        """Where workers find it."""
        return f"/proc/{os.getpid()}/fd/{self._file}"

    def rows(self) -> int:
        """The rows of all tasks at work that are done."""
        return sum(
            NUMBER.unpack_from(self._memory, NUMBER.size * n)[0] for n in range(self._places)
        )

    def clear(self, place: int) -> None:
        """Nobody is at work at a place."""
        NUMBER.pack_into(self._memory, NUMBER.size * place, 0)

    def close(self) -> None:
        """Forget it; workers that still write do no harm."""
        os.close(self._file)


class _Shared:
    """What this process shares: what it shows of its workers, or how it tells as one itself."""

    shown: Shown | None = None
    tell: Callable[[int], None] | None = None
    place: tuple[str, int] | None = None
    rows = 0


def show(shown: Shown | None) -> None:
    """Make ``shown`` that of which ``rows`` tells."""
    _Shared.shown = shown


def rows() -> int:
    """Rows that are done of the tasks at work, as far as that is known here."""
    return 0 if _Shared.shown is None else _Shared.shown.rows()


def join(path: str, place: int) -> None:
    """Take a place on the board of another process; without one where it is gone."""
    if (path, place) == _Shared.place:
        return
    _Shared.tell = None
    with suppress(OSError, ValueError):
        file = os.open(path, os.O_RDWR)
        try:
            _Shared.tell = partial(NUMBER.pack_into, mmap.mmap(file, 0), NUMBER.size * place)
        finally:
            os.close(file)
    _Shared.place = path, place
    begin()


def tell_by(tell: Callable[[int], None]) -> None:
    """Have ``tell`` called with the rows of the task at work, from its beginning on, as they become more."""
    _Shared.tell, _Shared.place = tell, None


def begin() -> None:
    """A task begins: none of its rows is done."""
    _Shared.rows = 0
    advance(0)


def advance(done: int) -> None:
    """So many rows more of the task at work are done."""
    _Shared.rows += done
    if _Shared.tell is not None:
        _Shared.tell(_Shared.rows)
