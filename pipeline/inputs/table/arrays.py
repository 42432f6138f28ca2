"""The records of a JSON file that holds a list of objects: the list's values, each with its place in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from tamis.pipeline.inputs.json_files import BLANK, MARK
from tamis.pipeline.inputs.table.records import Record
from tamis.pipeline.store import storage

OUTSIDE, INSIDE = re.compile(rb'["{}\[\],]'), re.compile(rb'["\\]')
"""Bytes that matter outside strings and inside them."""


def values(stream: BinaryIO, limit: int) -> Iterator[Record]:
    """The values of a JSON list, without the commas between them. What does not belong to it is a record of its own."""
    held, place, depth = _Held(limit), 0, 0
    for chunk, marks in _marks(stream):
        start = 0
        for at in marks:
            byte = chunk[at : at + 1]
            opens, closes = byte in b"{[", byte in b"}]"
            depth = max(0, depth + opens - closes)
            # The list begins, or ends, or a comma of its own stands there.
            if (depth == opens and (opens or closes)) or (depth == 1 and byte == b","):
                yield from held.ended(chunk[start:at], place + start)
                start = at + 1
        held.add(chunk[start:], place + start)
        place += len(chunk)
    yield from held.ended(b"", place)


def _marks(stream: BinaryIO) -> Iterator[tuple[bytes, Iterator[int]]]:
    """The blocks of a file, each with the places in it of brackets and commas outside strings; take all of them."""
    quoted = escaped = False

    def places(chunk: bytes) -> Iterator[int]:
        nonlocal quoted, escaped
        at = int(escaped)
        escaped = False
        while (found := (INSIDE if quoted else OUTSIDE).search(chunk, at)) is not None:
            at = found.end()
            if found[0] == b"\\":
                escaped, at = at == len(chunk), at + 1
            elif found[0] == b'"':
                quoted = not quoted
            else:
                yield found.start()

    while chunk := stream.read(storage.READ_BLOCK):
        yield chunk, places(chunk)


class _Held:
    """The bytes of the value that is being read; no more of them than a record may have."""

    def __init__(self, limit: int) -> None:
        self._limit, self._data, self._begin, self._size = limit, bytearray(), 0, 0

    def add(self, data: bytes, place: int) -> None:
        """So many bytes more, which stand at ``place`` of the file; blanks before a value are none of it."""
        if not self._size:
            kept = data.lstrip(BLANK + MARK if place < len(MARK) else BLANK)
            self._begin, data = place + len(data) - len(kept), kept
        self._size += len(data)
        if len(self._data) <= self._limit:
            self._data += data

    def ended(self, data: bytes, place: int) -> Iterator[Record]:
        """The record that ends with these bytes; none of blanks alone."""
        self.add(data, place)
        found, size = bytes(self._data), self._size
        self._data, self._size = bytearray(), 0
        if size:
            yield Record(self._begin, size, found if size <= self._limit else None)
