"""The records of a text file with their places in it: lines, and lines of CSV that a quoted cell joins.

A record longer than the limit is told by its place alone: its bytes are never held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NamedTuple

from tamis.pipeline.store import storage

MAX_LINES = 1_000
"""Lines that a record of CSV may have; a quote that never ends does not take the rest of the file with it."""

CellCount = Callable[[Iterator[str]], int | None]
"""From lines of CSV the number of cells of the first record, for which it takes no line too many; None: it is none."""


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


def quoted(
    found: Iterable[Record], limit: int, cells_of: CellCount, cells: int
) -> Iterator[Record]:
    """The records of CSV below its header: a line, or several that a quoted cell joins.

    Lines that do not join to exactly one record of ``cells`` cells within the limits are not joined: the first stands
    alone, and those behind it are looked at again.
    """
    source, again = iter(found), deque[Record]()
    while (line := _next(again, source)) is not None:
        held = [line]
        if line.data is not None and b'"' in line.data:
            count = cells_of(_joining(held, again, source, limit))
            if len(held) > 1 and count != cells:
                again.extendleft(reversed(held[1:]))
                del held[1:]
        yield _joined(held)


def _next(again: deque[Record], source: Iterator[Record]) -> Record | None:
    return again.popleft() if again else next(source, None)


def _joining(
    held: list[Record], again: deque[Record], source: Iterator[Record], limit: int
) -> Iterator[str]:
    """The text of the line that is held, and of each behind it for which a reader asks, which is held then too.

    Each byte is a character: quotes, delimiters and ends of lines are ASCII, and what stands between is not looked at.
    """
    size = held[0].size
    yield (held[0].data or b"").decode("latin-1")
    while len(held) < MAX_LINES and (line := _next(again, source)) is not None:
        size += line.size
        if line.data is None or size > limit:
            again.appendleft(line)
            return
        held.append(line)
        yield line.data.decode("latin-1")


def _joined(parts: list[Record]) -> Record:
    if len(parts) == 1:
        return parts[0]
    data = b"".join(part.data or b"" for part in parts)
    return Record(parts[0].offset, len(data), data)
