"""Embeddings that come with the input: ``precomputed``.

They are read where they lie: a ``.npy`` in clip-retrieval's layout, or a member of a ``.npz`` in
DataComp's (``b32_img b32_txt l14_img l14_txt``). The header says dimension and rows; of the rest only
the rows asked for are read. A member that was stored compressed has to be unpacked from its start.
"""

from __future__ import annotations

import re
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.encoders.base import Description, Precision
from tamis.pipeline.encoders.towers import Towers
from tamis.schemas.errors import InputError, ModelError

MAX_DIM = 1 << 16
"""Numbers an embedding; a header that says more is damaged."""

_DAMAGE = (
    ValueError,
    TypeError,
    ArithmeticError,
    SyntaxError,
    RecursionError,
    MemoryError,
    EOFError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
)
"""What numpy and zipfile were seen to raise on a header that is none."""

_LOCAL_HEADER = 30
_ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Matrix:
    """A stored array, (``rows``, ``dim``), of numbers of ``dtype``.

    ``offset`` is where the first lies, in bytes of the file, or of the unpacked ``member`` where that
    is ``compressed``.
    """

    rows: int
    dim: int
    dtype: str
    offset: int
    member: str | None
    compressed: bool


def describe(rest: str, precision: Precision) -> Description:
    """``precomputed``: the dimension is the input's, and there is no model.

    Raises:
        ModelError: ``rest`` is not empty, or ``precision`` is not the default.
    """
    if rest:
        raise ModelError(f"`precomputed:{rest}`: write `precomputed`; the input names the files")
    if precision != "fp32":
        raise ModelError(f"precision: {precision} has no meaning for `precomputed`: leave it out")
    return Description(None, True, "precomputed", None)


def load(rest: str, device: str, precision: Precision) -> Towers:
    """There is no model to load: ModelError."""
    describe(rest, precision)
    raise ModelError(
        f"`precomputed` has no model to load on {device}: the input has the embeddings"
    )


def header(file: BinaryIO, member: str | None = None) -> Matrix:
    """The header of a ``.npy``, or of ``member`` of a ``.npz``.

    Raises:
        InputError: it is neither, the member is missing, or it is no matrix of float16/32/64 with a width.
    """
    file.seek(0)
    if file.read(4) != _ZIP_MAGIC:
        if member is not None:
            raise InputError(f"asked for the member `{member}` of a file that is no archive")
        file.seek(0)
        return _parsed(file, None, False)
    info = _info(file, member)
    if info.compress_type != zipfile.ZIP_STORED:
        try:
            with zipfile.ZipFile(file) as archive, archive.open(info) as stream:
                return _parsed(cast(BinaryIO, stream), member, True)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise InputError(f"the member `{member}` cannot be unpacked: {error}") from error
    file.seek(_data_start(file, info))
    return _parsed(file, member, False)


def rows(file: BinaryIO, matrix: Matrix, start: int, stop: int) -> NDArray[np.floating]:
    """Rows ``start`` to ``stop`` of ``matrix``, (stop - start, dim), of its stored dtype.

    Raises:
        InputError: the file has fewer rows, or ends early.
    """
    if not 0 <= start <= stop <= matrix.rows:
        raise InputError(f"rows {start} to {stop} wanted of an array that has {matrix.rows}")
    dtype = np.dtype(matrix.dtype)
    width = matrix.dim * dtype.itemsize
    with _stream(file, matrix) as stream:
        try:
            stream.seek(matrix.offset + start * width)
            data = _read(stream, (stop - start) * width)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputError(f"the member `{matrix.member}` is damaged: {error}") from error
    values = np.frombuffer(data, dtype=dtype).reshape(stop - start, matrix.dim)
    return values.astype(dtype.newbyteorder("="), copy=False)


@contextmanager
def _stream(file: BinaryIO, matrix: Matrix) -> Iterator[BinaryIO]:
    if not matrix.compressed:
        yield file
        return
    with zipfile.ZipFile(file) as archive, archive.open(_info(file, matrix.member)) as stream:
        yield cast(BinaryIO, stream)


def _read(stream: BinaryIO, size: int) -> bytearray:
    data = bytearray()
    while len(data) < size:
        more = stream.read(min(size - len(data), 1 << 24))
        if not more:
            raise InputError(
                f"the array ends {size - len(data)} bytes early: the file is truncated"
            )
        data += more
    return data


def _info(file: BinaryIO, member: str | None) -> zipfile.ZipInfo:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise InputError(f"the .npz is damaged or truncated: {error}") from error
    with archive:
        names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if member is None or member not in names:
        raise InputError(f"the .npz has no array `{member}`; it has {', '.join(sorted(names))}")
    return names[member]


def _data_start(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: after its local header, whose extra field is its own."""
    file.seek(info.header_offset)
    local = file.read(_LOCAL_HEADER)
    name, extra = int.from_bytes(local[26:28], "little"), int.from_bytes(local[28:30], "little")
    return info.header_offset + _LOCAL_HEADER + name + extra


def _parsed(stream: BinaryIO, member: str | None, compressed: bool) -> Matrix:
    try:
        version = np.lib.format.read_magic(stream)
        if version not in {(1, 0), (2, 0)}:
            raise InputError(f".npy version {version}: save it again with numpy.save")
        read = np.lib.format.read_array_header_1_0
        if version == (2, 0):
            read = np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except _DAMAGE as error:
        words = re.sub(r"0x[0-9a-f]+", "0x...", " ".join(str(error).split()))[:200]
        raise InputError(f"no numpy header: {words or type(error).__name__}") from error
    if len(shape) != 2 or dtype.kind != "f" or dtype.itemsize > 8:
        raise InputError(
            f"an array {shape} of {dtype}: embeddings are (rows, dim) of float16 or 32"
        )
    if shape[0] < 0 or not 0 < shape[1] <= MAX_DIM:
        raise InputError(
            f"an array {shape}: embeddings are (rows, dim), of 1 to {MAX_DIM:,} numbers each"
        )
    if fortran and min(shape) > 1:
        raise InputError("the array is stored by columns: save numpy.ascontiguousarray(x)")
    return Matrix(shape[0], shape[1], dtype.str, stream.tell(), member, compressed)
