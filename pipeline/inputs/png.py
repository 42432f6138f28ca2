"""PNGs, inflated in one go.

Pillow inflates a row at a time, which takes most of the time where pixels repeat. Here a picture is inflated at once,
and Pillow does the rest: rows without a filter it unpacks as they are, and others it reads from the same file with its
pixels stored instead of compressed. So modes, palettes, filters and pixels are Pillow's. What is odd in any way
(interlaced, animated, large, damaged) is left to Pillow alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image
from zlib_ng import zlib_ng

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_BYTES = 16 << 20
"""Of a picture's rows; a larger one would take too much memory beside its pixels."""

_IDAT, _END = b"IDAT", b"\0\0\0\0IEND"
_HEADER = struct.Struct(
    ">I4sIIBBBBB"
)  # the length and the name of the first chunk, and what it says
_CHUNK = struct.Struct(">I4s")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ODD = frozenset({b"IHDR", b"acTL", b"IEND"})
"""Chunks that do not stand between the first one and the pixels of a plain picture."""

_FIRST = 33
"""Bytes of a file before its second chunk."""

_WINDOW = 1 << 15
"""The largest window of a stream."""

_BLOCK = 0xFFFF
"""Bytes of a stored block, at most."""


class Rows(NamedTuple):
    """The rows of a PNG, each behind the number of its filter."""

    data: bytes
    stride: int  # bytes a row
    checksum: bytes
    start: int  # of the chunks of pixels in the file
    end: int

    @property
    def unfiltered(self) -> bool:
        """Whether no row has a filter."""
        filters = self.data[:: self.stride]
        return filters.count(0) == len(filters)


def rows(data: bytes) -> Rows | None:
    """The rows of a plain PNG; None for any other file."""
    stride, height = _shape(data)
    size = stride * height
    chunks = [*_chunks(data)]
    if not 0 < size <= MAX_BYTES or not chunks:
        return None
    packed = b"".join([data[begin + 8 : behind - 4] for begin, behind in chunks])
    window = 256 << (packed[0] >> 4) if packed else 0
    # Pillow refuses what lies further back than the stream's own window, and zlib alone would not.
    if len(packed) < 6 or window < min(size, _WINDOW):
        return None
    stream = zlib_ng.decompressobj()
    try:
        found = stream.decompress(packed, size + 1)
    except zlib_ng.error:  # type: ignore[misc]  # its stub has an instance for the class
        return None
    if len(found) != size or not stream.eof or stream.unused_data:
        return None
    return Rows(found, stride, packed[-4:], chunks[0][0], chunks[-1][1])


def _shape(data: bytes) -> tuple[int, int]:
    """Bytes of a row and the count of rows of a PNG that is not interlaced; 0 for any other file."""
    if not data.startswith(SIGNATURE) or len(data) < _FIRST:
        return 0, 0
    length, name, width, height, depth, colour, _, _, laced = _HEADER.unpack_from(data, 8)
    if (length, name) != (13, b"IHDR") or laced or colour not in _CHANNELS or not width:
        return 0, 0
    return 1 + (width * depth * _CHANNELS[colour] + 7) // 8, height


def _chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of each chunk of pixels, which stand together; none where another thing stands before them."""
    position, among = _FIRST, False
    while position + 12 <= len(data):
        length, name = _CHUNK.unpack_from(data, position)
        if name == _IDAT and position + 12 + length <= len(data):
            among = True
            yield position, position + 12 + length
        elif among or name == _IDAT or name in _ODD:
            return
        position += 12 + length


def unpacked(image: Image.Image, known: Rows) -> Image.Image:
    """The pixels of an opened picture, whose rows have no filter."""
    (tile,) = image.tile  # type: ignore[attr-defined]  # of what ``Image.open`` gives
    data = memoryview(known.data)[1:]
    pixels = Image.frombytes(image.mode, image.size, data, "raw", tile.args, known.stride, 1)
    pixels.info, pixels.palette = image.info, image.palette
    pixels.load()
    return pixels


def ends_after(data: bytes, known: Rows) -> bool:
    """Whether nothing stands behind the pixels, which Pillow would read with them."""
    return data.startswith(_END, known.end)


def stored(data: bytes, known: Rows) -> bytes:
    """The same file with its pixels stored instead of compressed. The chunk has no checksum, as Pillow wants none."""
    blocks = [b"\x78\x01"]
    for first in range(0, len(known.data), _BLOCK):
        block = known.data[first : first + _BLOCK]
        last = first + len(block) == len(known.data)
        blocks += [struct.pack("<BHH", last, len(block), len(block) ^ _BLOCK), block]
    blocks.append(known.checksum)
    head = _CHUNK.pack(sum(map(len, blocks)), _IDAT)
    return b"".join([data[: known.start], head, *blocks, bytes(4), data[known.end :]])
