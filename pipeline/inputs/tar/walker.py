"""A tar walker that reads a stream once, records where every member lies, and accounts for every byte.

Damage does not end the walk: garbage is skipped up to the next header whose checksum fits, at any
alignment, and is reported as one range. The rules where tar readers differ:

- Two zero blocks end the archive. Whatever is not zero behind them is one range of damage, since other
  readers never see it. A file that ends behind a single zero block is complete; one that ends without
  any is reported as truncated (with length 0 at a member's boundary): a cut there looks the same.
- A lone zero block in the middle is damage of 512 bytes; the walk goes on behind it.
- Directories and volume labels are passed over; links, devices and sparse members are damage with a name.
- A member that says to be longer than the rest of the file is damage up to the next header, if there is one; else
  the file is cut off there.
- A member larger than ``max_member_bytes`` is skipped without being held in memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from tamis.pipeline.inputs.other_formats import OTHER_FORMATS
from tamis.pipeline.inputs.part_builder import MAX_MEMBER_BYTES
from tamis.pipeline.inputs.tar import tar_header
from tamis.pipeline.inputs.tar.tar_header import BLOCK, ZEROS, Header
from tamis.pipeline.inputs.tar.window import CHUNK, Window
from tamis.schemas.ledger import Reason

MAX_EXTENSION_BYTES = 1 << 20
"""A long name or PAX header larger than this is damage: no name is that long."""


class Member(NamedTuple):
    """A regular member: its name, where its bytes start in the file, how many, and the bytes."""

    name: str
    offset: int
    size: int
    data: memoryview


class Damage(NamedTuple):
    """A range of bytes of the file that gives no member; ``name`` where a header could be read."""

    reason: Reason
    offset: int
    length: int
    message: str
    name: str | None = None


@dataclass(slots=True)
class _Extension:
    """Fields of a member from the headers before its own."""

    name: str | None = None
    size: int | None = None
    sparse: bool = False


class _Extent(NamedTuple):
    """A member: its header's offset, its data's offset and size in bytes."""

    name: str
    header: int
    data: int
    size: int


class Walker:
    """Iterate over the members and damages of a tar. ``spans`` then sums to the file's size."""

    def __init__(
        self, stream: BinaryIO, max_member_bytes: int = MAX_MEMBER_BYTES, chunk: int = CHUNK
    ) -> None:
        self.window = Window(stream, chunk)
        self.spans = {"header": 0, "data": 0, "padding": 0, "end": 0, "damage": 0}
        self._limit = max_member_bytes
        self._file_size = _size(stream)
        self._position = 0
        self._finished = False
        self._extension = _Extension()

    @property
    def size(self) -> int:
        """Bytes of the file, once the walk is over."""
        return self.window.end

    def __iter__(self) -> Iterator[Member | Damage]:
        if not self.window.ensure(0, 1):
            yield Damage(Reason.NOT_AN_ARCHIVE, 0, 0, "the file is empty")
            return
        for magic, advice in OTHER_FORMATS.items():
            if self.window.bytes_at(0, len(magic)) == magic:
                yield self._rest(0, Reason.NOT_AN_ARCHIVE, f"this is {advice}")
                return
        while not self._finished:
            item = self._next()
            if item is not None:
                yield item

    def _next(self) -> Member | Damage | None:
        """Take one step: over a header and its member, garbage, or the end."""
        position = self._position
        if not self.window.ensure(position, BLOCK):
            return self._end_of_file()
        block = self.window.bytes_at(position, BLOCK)
        if block == ZEROS:
            return self._zero_block()
        header = tar_header.parse(block)
        if header is None:
            return self._resynchronise()
        if header.type in {b"L", b"K", b"x", b"X", b"g"}:
            return self._read_extension(header)
        return self._member(header)

    # --- members

    def _member(self, header: Header) -> Member | Damage | None:
        extension, self._extension = self._extension, _Extension()
        name = header.name if extension.name is None else extension.name
        size = header.size if extension.size is None else extension.size
        kind = header.type
        if name.endswith("/") and (kind == b"\0" or size == 0):
            kind = b"5"
        if kind in tar_header.WITHOUT_DATA:
            size = 0
        data = self._position + BLOCK
        if kind == b"S":
            data = self._behind_sparse_map(data)
        extent = _Extent(name, self._position, data, size)
        if self._is_beyond(extent):
            return self._false_size(extent)
        if extension.sparse or kind == b"S":
            return self._skip(extent, Reason.UNSUPPORTED_MEMBER, "a sparse member")
        if kind in tar_header.REGULAR:
            return self._regular(extent)
        if kind in tar_header.SILENT:
            return self._skip(extent, None, "")
        kind_name = tar_header.KINDS.get(
            kind, f"member of the unknown type {tar_header.text(kind)!r}"
        )
        return self._skip(extent, Reason.UNSUPPORTED_MEMBER, f"a {kind_name}")

    def _regular(self, extent: _Extent) -> Member | Damage | None:
        if extent.size > self._limit:
            message = f"{_shown(extent.size)} bytes: the limit is {self._limit} (max_member_bytes)"
            return self._skip(extent, Reason.MEMBER_TOO_LARGE, message)
        if tar_header.is_unsafe(extent.name):
            message = "the name is absolute or climbs with `..`: rename the member"
            return self._skip(extent, Reason.UNSAFE_NAME, message)
        if not self.window.ensure(extent.data, extent.size):
            return self._truncated(extent)
        view = self.window.view_at(extent.data, extent.size)
        self._count(extent, "data")
        return Member(extent.name, extent.data, extent.size, view)

    def _skip(self, extent: _Extent, reason: Reason | None, message: str) -> Damage | None:
        """Pass over a member's data without holding it; None for a member that is no damage."""
        self.window.skip(extent.data + extent.size)
        if self.window.end < extent.data + extent.size:
            return self._truncated(extent)
        self._count(extent, "data" if reason is None else "damage")
        if reason is None:
            return None
        return Damage(reason, extent.data, extent.size, message, extent.name)

    def _count(self, extent: _Extent, kind: str) -> None:
        """Count a whole member, its data as ``kind``, and move behind it."""
        end = extent.data + extent.size
        behind = extent.data + -(-extent.size // BLOCK) * BLOCK
        if not self.window.ensure(end, behind - end):  # the file may end before the padding does
            behind = self.window.end
        self.spans["header"] += extent.data - extent.header
        self.spans[kind] += extent.size
        self.spans["padding"] += behind - end
        self._position = behind

    def _truncated(self, extent: _Extent) -> Damage:
        present = max(0, self.window.end - extent.data)
        message = (
            f"{_shown(extent.size)} bytes announced, {present} there: cut off, or a wrong size"
        )
        return self._rest(extent.header, Reason.TRUNCATED_ARCHIVE, message, extent.name)

    def _is_beyond(self, extent: _Extent) -> bool:
        return self._file_size is not None and extent.data + extent.size > self._file_size

    def _false_size(self, extent: _Extent) -> Damage:
        """Damage of a member larger than the rest of the file; the walk goes on at the next header."""
        behind = self._next_header(extent.header)
        if behind is None:
            return self._truncated(extent)
        self._position = behind
        self.spans["damage"] += behind - extent.header
        message = f"{_shown(extent.size)} bytes announced, more than the file has: a wrong size"
        return Damage(
            Reason.DAMAGED_ARCHIVE, extent.header, behind - extent.header, message, extent.name
        )

    def _behind_sparse_map(self, data: int) -> int:
        """Offset of an old GNU sparse member's data, behind its map of blocks, each with a flag for the next."""
        flag = self.window.bytes_at(self._position, BLOCK)[482]
        while flag and self.window.ensure(data, BLOCK):
            flag = self.window.bytes_at(data, BLOCK)[504]
            data += BLOCK
        return data

    # --- headers that describe the next member

    def _read_extension(self, header: Header) -> Damage | None:
        extent = _Extent(header.name, self._position, self._position + BLOCK, header.size)
        if self._is_beyond(extent):
            self._extension = _Extension()
            return self._false_size(extent)._replace(name=None)
        if header.size > MAX_EXTENSION_BYTES:
            message = (
                f"a long name or PAX header of {_shown(header.size)} bytes: more than any name has"
            )
            return self._skip(extent, Reason.DAMAGED_ARCHIVE, message)
        if not self.window.ensure(extent.data, extent.size):
            return self._truncated(extent)
        payload = self.window.bytes_at(extent.data, extent.size)
        try:
            self._apply(header.type, payload)
        except ValueError as error:
            self._extension = _Extension()
            self._count(extent, "damage")
            message = f"PAX header: {error}"
            return Damage(Reason.DAMAGED_ARCHIVE, extent.data, extent.size, message)
        self._count(extent, "header")
        return None

    def _apply(self, kind: bytes, payload: bytes) -> None:
        extension = self._extension
        if kind == b"L":
            extension.name = tar_header.text(payload.partition(b"\0")[0])
        if kind in {b"x", b"X"}:  # a long link name or a global header names no member
            records = tar_header.pax_records(payload)
            if "size" in records:
                extension.size = int(records["size"])
                if extension.size < 0:
                    raise ValueError(f"a size of {extension.size}")
            extension.name = records.get("GNU.sparse.name", records.get("path", extension.name))
            extension.sparse = tar_header.is_sparse(records)

    # --- garbage and ends

    def _rest(self, offset: int, reason: Reason, message: str, name: str | None = None) -> Damage:
        """Damage of everything from ``offset`` on, which ends the walk."""
        while self.window.ensure(self.window.end, 1):
            pass
        length = self.window.end - offset
        self.spans["damage"] += length
        self._position, self._finished = self.window.end, True
        return Damage(reason, offset, length, message, name)

    def _end_of_file(self) -> Damage:
        left = self.window.end - self._position
        if self._position == 0:
            return self._rest(0, Reason.NOT_AN_ARCHIVE, f"{left} bytes: too short for a tar")
        message = f"{left} bytes where a header or the end mark should be: the file is cut off"
        if left == 0:
            message = "the file ends without its end mark (two zero blocks): it may be cut off here"
        return self._rest(self._position, Reason.TRUNCATED_ARCHIVE, message)

    def _zero_block(self) -> Damage | None:
        """The end mark, or a lone zero block."""
        self._extension = _Extension()
        second = self._position + BLOCK
        if self.window.ensure(second, BLOCK) and self.window.bytes_at(second, BLOCK) != ZEROS:
            self._position = second
            self.spans["damage"] += BLOCK
            message = "a lone zero block: other readers stop here"
            return Damage(Reason.DAMAGED_ARCHIVE, second - BLOCK, BLOCK, message)
        self._finished = True
        position = second
        while self.window.ensure(position, 1):
            size = min(CHUNK, self.window.end - position)
            piece = self.window.bytes_at(position, size)
            zeros = size - len(piece.lstrip(b"\0"))
            position += zeros
            if zeros < size:
                break
        self.spans["end"] += position - (second - BLOCK)
        if position == self.window.end:
            return None
        message = (
            "bytes behind the end mark, which other readers never see: is this two tars in one?"
        )
        return self._rest(position, Reason.DAMAGED_ARCHIVE, message)

    def _resynchronise(self) -> Damage:
        """Skip bytes that are no header, up to the next header or the zeros at the end."""
        self._extension = _Extension()
        start = self._position
        behind = self._next_header(start)
        if behind is not None:
            self._position = behind
            self.spans["damage"] += behind - start
            message = f"{behind - start} bytes that are no tar header: garbage, or a wrong checksum"
            return Damage(Reason.DAMAGED_ARCHIVE, start, behind - start, message)
        if start == 0:
            return self._rest(0, Reason.NOT_AN_ARCHIVE, "no tar header in the whole file")
        message = "bytes that are no tar header, up to the end: garbage, or a wrong checksum"
        return self._rest(start, Reason.DAMAGED_ARCHIVE, message)

    def _next_header(self, start: int) -> int | None:
        """The first offset behind ``start`` where a header's checksum fits; None if there is none."""
        window, position = self.window, start + 1
        while window.ensure(position, BLOCK):
            last = window.end - BLOCK
            offset = self._search(start, position, last)
            if offset is not None:
                return offset
            position = last + 1
        return None

    def _search(self, start: int, first: int, last: int) -> int | None:
        """A header that begins in [first, last]: by its magic anywhere, else on the old alignment."""
        window = self.window
        match: int | None = None
        index = window.data.find(b"ustar", first - window.start + 257)
        while index >= 0 and match is None:
            offset = window.start + index - 257
            if offset > last:
                break
            if tar_header.parse(window.bytes_at(offset, BLOCK)) is not None:
                match = offset
            index = window.data.find(b"ustar", index + 1)
        aligned = start + -(-(first - start) // BLOCK) * BLOCK
        for offset in range(aligned, (last if match is None else match) + 1, BLOCK):
            digits = window.bytes_at(offset + 148, 8).strip(b" \0")
            if digits.isdigit() and tar_header.parse(window.bytes_at(offset, BLOCK)) is not None:
                return offset
        return match


def _size(stream: BinaryIO) -> int | None:
    """Bytes of the whole stream; None where it cannot seek."""
    try:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
    except (io.UnsupportedOperation, AttributeError):
        return None
    return size


def _shown(number: int) -> str:
    """A header's number as text, which may have thousands of digits."""
    return str(number) if number < 1 << 63 else "over 2^63"
