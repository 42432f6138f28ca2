"""The records of a JSON file that holds a list of objects: the list's values, each with its place in the file."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from tamis.pipeline.inputs.json_files import BLANK, MARK
from tamis.pipeline.inputs.table.json_faults import Known, first_key, next_object
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

    A value in which something is open that nothing closes ends before the next object that begins as it does. Only the
    end of the file tells whether a bracket is open or the value long: then its bytes are read again from there.
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
            if held.ends_before(ended=ends, left_open=depth > 1 and not piece):
                rest = held.rest()
                place, depth = held.end, 1
                if rest is None:
                    reader.go_to(place)
                else:
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

    def go_to(self, place: int) -> None:
        """Go on at a place of the file, with no string open before it."""
        self._stream.seek(place)
        self._pieces.clear()
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
        end: of the value in the file, where ``ends_before`` says so.
        look: the size at which it is looked at for damage.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._begin, self._key = limit, 0, b""
        self._known, self._believed, self._first = Known(), math.inf, min(FIRST_LOOK, limit // 2)
        self._empty()

    def _empty(self) -> None:
        self._data, self.size, self.end, self.look = bytearray(), 0, 0, float(self._first)

    def add(self, data: bytes, place: int) -> None:
        """So many bytes more, which stand at ``place`` of the file; blanks before a value are none of it."""
        if not self.size:
            kept = data.lstrip(BLANK + MARK if place < len(MARK) else BLANK)
            self._begin, data = place + len(data) - len(kept), kept
        self.size += len(data)
        if len(self._data) <= self._limit:
            self._data += data

    def ends_before(self, *, ended: bool, left_open: bool) -> bool:
        """Whether the value is damaged, and ends before the comma behind which the next object begins.

        Args:
            ended: no byte of it follows.
            left_open: it has ended with the file, and a bracket in it is open.
        """
        if not ended and self.size < self.look:
            return False
        whole = len(self._data) == self.size
        self.look = 2 * self.size if whole else math.inf
        left_open = left_open or (whole and not ended and self.size >= self._believed)
        if not whole and not left_open:
            return False
        data = bytes(self._data)
        self._key = first_key(data) or self._key
        ended = ended and whole
        cut = next_object(data, self._key, self._known, ended=ended, left_open=left_open)
        if cut is None:
            return False
        self.end = self._begin + cut
        if left_open:
            # Each makes it likelier of the next: else all of a file would be read again for each.
            self._believed = max(self._first, min(self._believed, self._limit) / 2)
        return True

    def rest(self) -> bytes | None:
        """The bytes behind ``end``, which are none of the value any more; None where not all of them are here."""
        cut = self.end - self._begin
        rest = bytes(self._data[cut:]) if len(self._data) == self.size else None
        self._data, self.size = self._data[:cut], cut
        return rest

    def ended(self) -> Iterator[Record]:
        """The record of these bytes; none of blanks alone."""
        data, size = bytes(self._data), self.size
        self._known.learn(data)
        self._empty()
        if size:
            yield Record(self._begin, size, data if size <= self._limit else None)
