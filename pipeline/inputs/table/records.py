"""The records of a text file with their places in it: lines, and lines of CSV that a quoted cell joins.

A record longer than the limit is told by its place alone: its bytes are never held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from tamis.pipeline.store import storage

MAX_LINES = 1_000
"""Lines that a quoted cell of CSV may have; one that never ends does not take the rest of the file with it."""


class Record(NamedTuple):
    """A record: the offset of its first byte, their number, and the bytes; None where there are too many."""

    offset: int
    size: int
    data: bytes | None


def lines(stream: BinaryIO, limit: int) -> Iterator[Record]:
    """The lines of a file, each with the byte that ends it."""
    held, start, skipped = b"", 0, 0
    while chunk := stream.read(storage.READ_BLOCK):
        *whole, rest = (held + chunk).split(b"\n")
        for line in whole:
            size = skipped + len(line) + 1
            yield Record(start, size, line + b"\n" if size <= limit else None)
            start, skipped = start + size, 0
        held = rest
        if len(held) > limit or skipped:
            skipped, held = skipped + len(held), b""
    size = skipped + len(held)
    if size:
        yield Record(start, size, held if not skipped and size <= limit else None)


def quoted(found: Iterable[Record], limit: int) -> Iterator[Record]:
    """The records of CSV: a line, or several where a quote is open at a line's end. A quote that nothing closes within
    the limits damages its line alone: those behind it are looked at again.
    """
    source, again = iter(found), deque[Record]()
    held: list[Record] = []
    is_open = False
    while True:
        line = again.popleft() if again else next(source, None)
        if line is None and not held:
            return
        if line is not None:
            held.append(line)
            is_open ^= (line.data or b"").count(b'"') % 2 == 1
        whole = line is not None and (line.data is not None or len(held) == 1)
        if whole and is_open and len(held) <= MAX_LINES and sum(x.size for x in held) <= limit:
            continue
        if whole and not is_open:
            yield _joined(held)
        else:
            yield held[0]._replace(data=None)
            again.extendleft(reversed(held[1:]))
        held, is_open = [], False


def _joined(parts: list[Record]) -> Record:
    if len(parts) == 1:
        return parts[0]
    data = b"".join(part.data or b"" for part in parts)
    return Record(parts[0].offset, len(data), data)
