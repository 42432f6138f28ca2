"""How far the tasks at work are: rows of theirs that are done already, told by worker processes of this machine.

A task's rows are counted when it ends, and one that embeds a part may take minutes. So each worker writes its number
into a place of its own in memory that it shares with the process that gives it work; nobody waits for it, and nothing
else depends on it. Workers of Ray share no memory: there tasks at work count nothing.
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress

NUMBER = struct.Struct("=q")


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
    """What this process shares: the board that it made, or its place on another's."""

    board: Board | None = None
    memory: mmap.mmap | None = None
    path: str | None = None
    offset = 0
    rows = 0


def show(board: Board | None) -> None:
    """Make ``board`` the one of which ``rows`` tells."""
    _Shared.board = board


def rows() -> int:
    """Rows that are done of the tasks at work, as far as that is known here."""
    return 0 if _Shared.board is None else _Shared.board.rows()


def join(path: str, place: int) -> None:
    """Take a place on the board of another process; without one where it is gone."""
    if path == _Shared.path and NUMBER.size * place == _Shared.offset:
        return
    _Shared.memory = None
    with suppress(OSError, ValueError):
        file = os.open(path, os.O_RDWR)
        try:
            _Shared.memory = mmap.mmap(file, 0)
        finally:
            os.close(file)
    _Shared.path, _Shared.offset = path, NUMBER.size * place
    begin()


def begin() -> None:
    """A task begins: none of its rows is done."""
    _Shared.rows = 0
    advance(0)


def advance(done: int) -> None:
    """So many rows more of the task at work are done."""
    _Shared.rows += done
    if _Shared.memory is not None:
        NUMBER.pack_into(_Shared.memory, _Shared.offset, _Shared.rows)
