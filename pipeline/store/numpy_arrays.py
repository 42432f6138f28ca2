"""Arrays in files of numpy that somebody else has made: nothing is run, and nothing is larger than it says."""

from __future__ import annotations

import io
import math
import re
import struct
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

MOST_BYTES = 4 << 30
"""Of the arrays of an archive, unpacked: a few kilobytes can say that they are more than any memory."""

_CONTENT = (
    ValueError,
    TypeError,
    ArithmeticError,
    SyntaxError,
    RecursionError,
    EOFError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
)

DAMAGE = (*_CONTENT, MemoryError)
"""Errors of numpy and zipfile on a damaged header: Python's parser lacks memory for one that is nested deep."""

ARCHIVE_DAMAGE = (*_CONTENT, KeyError, OSError, RuntimeError)
"""Errors of zipfile on a damaged or encrypted archive; those of the disk are none of OSError's any more."""

MOST_OF_A_HEADER = 1 << 20
"""Bytes; numpy parses no header of more than 10,000."""

_READERS = {
    (1, 0): (struct.Struct("<H"), np.lib.format.read_array_header_1_0),
    (2, 0): (struct.Struct("<I"), np.lib.format.read_array_header_2_0),
}
"""Version -> how the length of a header is written, and what parses the header behind its length."""

_PARSING = threading.Lock()
"""Python 3.11 may lose count of its parser's depth where two threads parse at once: it ends in a SystemError."""

_ZIP_MAGIC = b"PK"


def words_of(error: BaseException) -> str:
    """An error of DAMAGE as one line that is the same each time."""
    said = re.sub(r"0x[0-9a-f]+", "0x...", " ".join(str(error).split()))[:200]
    return said or type(error).__name__


def read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is stored by columns, and type of the ``.npy`` at the file's position.

    Raises:
        ValueError: another version of the format. All of DAMAGE: no header.
    """
    version = np.lib.format.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"version {version} of .npy: save it again with numpy.save")
    size, read = _READERS[version]
    length = _bytes(file, size.size)
    header = length
    if len(length) == size.size:
        header += _bytes(file, min(size.unpack(length)[0], MOST_OF_A_HEADER))
    with _PARSING:
        shape, by_columns, dtype = read(io.BytesIO(header))
    return shape, by_columns, dtype


def _bytes(file: BinaryIO, size: int) -> bytes:
    """So many bytes, or fewer at the file's end."""
    data = b""
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


def sound_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The same.

    Raises:
        ValueError: there is none; one line.
    """
    try:
        return read_header(file)
    except DAMAGE as error:
        raise ValueError(f"no numpy header: {words_of(error)}") from None


def load_array(data: bytes) -> Array:
    """The array of a ``.npy``, from its bytes.

    Raises:
        ValueError: it is none, one of Python's objects, or shorter or longer than its header says; one line.
    """
    file = io.BytesIO(data)
    shape, by_columns, dtype = sound_header(file)
    if dtype.hasobject:
        raise ValueError("an array of Python's objects, which is not loaded: save numbers")
    count, start = math.prod(shape), file.tell()
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(data) - start:
        raise ValueError(
            f"the header says {shape} of {dtype}, {count * dtype.itemsize:,} bytes, and {len(data) - start:,} follow"
        )
    values = np.frombuffer(data, dtype, count, start) if count else np.empty(0, dtype)
    return values.reshape(shape, order="F" if by_columns else "C")


def load_archive(data: bytes) -> Mapping[str, Array]:
    """The arrays of an ``.npz`` by name, from its bytes.

    Raises:
        ValueError: it is none, is damaged, or has more than MOST_BYTES; one line.
    """
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > MOST_BYTES:
                raise ValueError(f"unpacked {size:,} bytes: at most {MOST_BYTES:,} are read")
            for member in members:
                name = member.filename.removesuffix(".npy")
                arrays[name] = load_array(archive.read(member))
    except ARCHIVE_DAMAGE as error:
        raise ValueError(words_of(error)) from None
    return arrays


def is_archive(data: bytes) -> bool:
    """Whether bytes begin as an ``.npz`` does."""
    return data.startswith(_ZIP_MAGIC)
