"""One 512-byte tar header and the records that extend it: USTAR, GNU, PAX and the old V7 form.

Source: POSIX.1-2017, ``pax``, sections "ustar Interchange Format" and "pax Header Block"; the GNU tar
manual, "Basic Tar Format" for long names, base-256 numbers and sparse members.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BLOCK = 512
ZEROS = bytes(BLOCK)

REGULAR = frozenset({b"0", b"\0", b"7"})
SILENT = frozenset({b"5", b"D", b"V"})
"""Directories and volume labels, which are skipped without damage. A directory's size is not of data."""
WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})

KINDS = {
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"6": "named pipe",
    b"M": "continuation of a member from another volume",
    b"S": "sparse member",
}


class Header(NamedTuple):
    """A header block: the name, the size of the data that follows in bytes, the type flag."""

    name: str
    size: int
    type: bytes


def _number(field: bytes) -> int:
    """A numeric field: octal digits, or GNU's base 256 for what they cannot hold; else ValueError."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big", signed=True) & ((1 << (8 * len(field) - 1)) - 1)
    digits = field.partition(b"\0")[0].strip()
    if not digits:
        return 0
    if not digits.isdigit():
        raise ValueError(f"{digits!r} is no octal number")
    return int(digits, 8)


def text(raw: bytes) -> str:
    """A name as text; bytes that are not UTF-8 are written as a backslash, ``x`` and two digits."""
    return raw.decode("utf-8", "backslashreplace")


def _sum(data: bytes) -> int:
    # The low half of Adler-32 is one more than the sum, modulo 65,521: exact for up to 256 bytes,
    # and ten times faster than ``sum``.
    return (zlib.adler32(data[:256]) & 0xFFFF) + (zlib.adler32(data[256:]) & 0xFFFF) - 2


def _checksum_fits(block: bytes) -> bool:
    digits = block[148:156].partition(b"\0")[0].strip()
    if not digits.isdigit():
        return False
    try:
        stated = int(digits, 8)
    except ValueError:
        return False
    rest = _sum(block) - _sum(block[148:156]) + 8 * 0x20
    if stated == rest:
        return True
    # Some old writers summed signed bytes.
    high = sum(1 for byte in block[:148] + block[156:] if byte > 127)
    return high > 0 and stated == rest - 256 * high


def parse(block: bytes) -> Header | None:
    """The header in ``block`` (512 bytes); None where its checksum or a number is wrong."""
    if not _checksum_fits(block):
        return None
    try:
        size = _number(block[124:136])
    except ValueError:
        return None
    name = block[:100].partition(b"\0")[0]
    if block[345] and block[257:263] == b"ustar\0":
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return Header(text(name), size, block[156:157])


_NAME_BYTES = 100
_SIZE = slice(124, 135)
_CHECKSUM = slice(148, 154)

_PLAIN = np.frombuffer(
    (bytes(_NAME_BYTES) + b"0000644\0" + b"0000000\0" * 2 + bytes(12) + b"00000000000\0")
    + (bytes(6) + b"\0 " + b"0" + bytes(100) + b"ustar\x0000" + bytes(64 + 16 + 155 + 12)),
    dtype=np.uint8,
)
"""A header without its name, its size and its checksum."""

_PLAIN_SUM = int(_PLAIN.sum()) + 7 * ord(" ")
"""A checksum counts its own eight characters as blanks, one of which is there."""


def plain(names: Sequence[str], sizes: npt.NDArray[np.int64]) -> list[bytes]:
    """The headers of files readable by all, without owner or time: the bytes that ``tarfile`` gives each.

    A file without room in USTAR, by a long or non-ASCII name or 8 GiB and more, has its PAX header before its own.
    """
    encoded = [name.encode() for name in names]
    padded = np.array(encoded, dtype=f"S{_NAME_BYTES}")
    blocks = np.tile(_PLAIN, (len(names), 1))
    blocks[:, :_NAME_BYTES] = padded.view(np.uint8).reshape(-1, _NAME_BYTES)
    blocks[:, _SIZE] = _octal(sizes, 11)
    sums = blocks[:, :_NAME_BYTES].sum(axis=1) + blocks[:, _SIZE].sum(axis=1)
    blocks[:, _CHECKSUM] = _octal(_PLAIN_SUM + sums.astype(np.int64), 6)
    whole = blocks.tobytes()
    headers = [whole[start : start + BLOCK] for start in range(0, len(whole), BLOCK)]
    too_large = sizes >= 1 << 33
    if (
        too_large.any()
        or max(map(len, encoded), default=0) > _NAME_BYTES
        or not b"".join(encoded).isascii()
    ):
        for number, (raw, large) in enumerate(zip(encoded, too_large.tolist(), strict=True)):
            if large or len(raw) > _NAME_BYTES or not raw.isascii():
                headers[number] = _extended(names[number], int(sizes[number]))
    return headers


def _octal(numbers: npt.NDArray[np.int64], digits: int) -> npt.NDArray[np.int64]:
    """The octal characters of each number, (n, digits)."""
    shifts = 3 * np.arange(digits - 1, -1, -1)
    return (numbers[:, None] >> shifts) & 7 | ord("0")


def _extended(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def pax_records(data: bytes) -> dict[str, str]:
    """The records of a PAX extended header, each ``LENGTH key=value`` and a line feed.

    Raises:
        ValueError: a record's length does not fit.
    """
    records: dict[str, str] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        length = int(data[position:space]) if space > 0 else 0
        record = data[space + 1 : position + length]
        whole = 5 <= length <= len(data) - position
        if not whole or not record.endswith(b"\n") or b"=" not in record:
            raise ValueError(f"the record at byte {position} of the extended header is broken")
        key, _, value = record[:-1].partition(b"=")
        records[text(key)] = text(value)
        position += length
    return records


def is_sparse(records: dict[str, str]) -> bool:
    """Whether PAX records describe a GNU sparse member."""
    return any(key.startswith("GNU.sparse.") for key in records)


def is_unsafe(name: str) -> bool:
    """Whether unpacking ``name`` could write outside its folder: absolute, or with a ``..`` part."""
    return name.startswith("/") or ".." in name.split("/")
