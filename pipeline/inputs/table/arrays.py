"""The records of a JSON file that holds a list of objects: the list's values, each with its place in the file."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from tamis.pipeline.inputs.json_files import BLANK, MARK
from tamis.pipeline.inputs.table.json_faults import first_key, next_object
from tamis.pipeline.inputs.table.records import Record
from tamis.pipeline.store import storage

OUTSIDE, INSIDE = re.compile(rb'["{}\[\],]'), re.compile(rb'["\\]')
"""Bytes that matter outside strings and inside them."""

PIECE = 1 << 16
"""Bytes that are looked through at a time."""

FIRST_LOOK = 1 << 12
"""Bytes of a value after which it is looked at for damage before it ends, and again when it is twice as long: what is
damaged may have no end.
"""


def values(stream: BinaryIO, limit: int) -> Iterator[Record]:
    """The values of a JSON list, without the commas between them. What does not belong to it is a record of its own.

    A value in which something is open that nothing closes ends before the next object that begins as it does.
    """
    reader, held, place, depth = _Reader(stream), _Held(limit), 0, 0
    while True:
        piece, start = reader.read(), 0
        for at in chain(reader.marks(piece), [len(piece)]):
            depth, ends = _after(piece[at : at + 1], depth)
            ends = ends or not piece
            if not ends and at < len(piece) and held.size + at - start < held.look:
                continue
            held.add(piece[start:at], place + start)
            start = at
            if (rest := held.behind_damage(ended=ends)) is not None:
                place, depth = place + at - len(rest), 1
                reader.give_back(rest, piece[at:])
                yield from held.ended()
                break
            if ends:
                yield from held.ended()
                start = at + 1
        else:
            place += len(piece)
            if not piece:
                return


def _after(mark: bytes, depth: int) -> tuple[int, bool]:
    """(depth, ends): the lists and objects that are open behind a bracket or comma, and whether a value ends before it.

    It does where the list begins or ends, or a comma of its own stands.
    """
    if mark == b"{":
        return max(depth, 1) + 1, False  # behind the end of the list it goes on
    if mark == b"[":
        return depth + 1, depth == 0
    if mark == b"," or not mark:
        return depth, depth <= 1 and bool(mark)
    if mark == b"}" and depth <= 1:  # nothing opens it: the list goes on
        return depth, True
    return max(0, depth - 1), depth <= 1


class _Reader:
    """A file, piece by piece; bytes can be given back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._pieces = stream, deque[bytes]()
        self._quoted = self._escaped = False

    def read(self) -> bytes:
        """The next bytes; none at the end."""
        if not self._pieces:
            block = self._stream.read(storage.READ_BLOCK)
            self._pieces += (block[at : at + PIECE] for at in range(0, len(block), PIECE))
        return self._pieces.popleft() if self._pieces else b""

    def give_back(self, *pieces: bytes) -> None:
        """Bytes that come again, with no string open before them."""
        self._pieces.extendleft(piece for piece in reversed(pieces) if piece)
        self._quoted = self._escaped = False

    def marks(self, piece: bytes) -> Iterator[int]:
        """The places in a piece of brackets and commas outside strings; take all of them, or give bytes back."""
        at = int(self._escaped and bool(piece))
        self._escaped = False
        while (found := (INSIDE if self._quoted else OUTSIDE).search(piece, at)) is not None:
            at = found.end()
            if found[0] == b"\\":
                self._escaped, at = at == len(piece), at + 1
            elif found[0] == b'"':
                self._quoted = not self._quoted
            else:
                yield found.start()


class _Held:
    """The bytes of the value that is being read; no more of them than a record may have, and those of a piece.

    Attributes:
        size: so far.
        look: the size at which it is looked at for damage.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._begin, self._key = limit, 0, b""
        self._empty()

    def _empty(self) -> None:
        self._data, self.size, self.look = bytearray(), 0, float(FIRST_LOOK)

    def add(self, data: bytes, place: int) -> None:
        """So many bytes more, which stand at ``place`` of the file; blanks before a value are none of it."""
        if not self.size:
            kept = data.lstrip(BLANK + MARK if place < len(MARK) else BLANK)
            self._begin, data = place + len(data) - len(kept), kept
        self.size += len(data)
        if len(self._data) <= self._limit:
            self._data += data

    def behind_damage(self, *, ended: bool) -> bytes | None:
        """The bytes from the comma on behind which the next object begins, where the value is damaged: they are none
        of it any more. None where it is sound, so far, or none begins in it.
        """
        if len(self._data) < self.size:  # not all of it is here
            self.look = math.inf
        if (not ended and self.size < self.look) or self.look == math.inf:
            return None
        self.look = 2 * self.size
        data = bytes(self._data)
        self._key = first_key(data) or self._key
        cut = next_object(data, self._key, ended=ended)
        if cut is None:
            return None
        self._data, self.size = self._data[:cut], cut
        return data[cut:]

    def ended(self) -> Iterator[Record]:
        """The record of these bytes; none of blanks alone."""
        data, size = bytes(self._data), self.size
        self._empty()
        if size:
            yield Record(self._begin, size, data if size <= self._limit else None)
