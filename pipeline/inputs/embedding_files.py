"""Embedding files of the input: their headers, their rows, and a check against the files they belong to."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.inputs.formats import format_of, outline
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store import numpy_arrays, storage
from tamis.schemas.errors import InputError

AT_ONCE = 16
"""Headers read at once."""

FOOTERS = 1_000
"""Input files whose rows are counted before a run; further ones are trusted."""


@contextmanager
def open_matrix(address: str) -> Iterator[tuple[BinaryIO, Matrix]]:
    """An embedding file (``path`` or ``path.npz#member``), opened, and the shape in its header.

    Raises:
        InputError: it is missing, or no embedding file; names its path.
    """
    path, _, member = address.partition("#")
    try:
        with storage.open_read(path) as file:
            yield file, read_header(file, member or None)
    except FileNotFoundError:
        raise InputError(
            f"`{storage.redact(path)}` is not there: {storage.nearest_directory(path)}"
        ) from None
    except InputError as error:
        raise InputError(f"`{storage.redact(path)}`: {error}") from error


def stamps(inputs: Sequence[InputFile], name: str = "") -> dict[str, storage.File]:
    """The size and stamp of every embedding file of that name that comes with the inputs, by its path.

    One request lists a directory's files, a thousand at a time; those that no listing has are asked for one by one.

    Raises:
        InputError: one is not there.
    """
    given = {
        address.partition("#")[0] for file in inputs for address in file.embeddings(name).values()
    }
    folders = sorted({storage.parent(path) for path in given if not path.startswith("http")})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = {file.path: file for files in pool.map(storage.files_in, folders) for file in files}
        missing = sorted(given - found.keys())
        found |= dict(zip(missing, pool.map(storage.stat, missing), strict=True))
    return {path: found[path] for path in given}


def check(inputs: Sequence[InputFile], name: str = "") -> None:
    """Check that all embeddings of that name have one dimension, and each file as many of them as its input has rows.

    Headers and footers alone are read.

    Raises:
        InputError: names the two files that do not fit.
    """
    pairs = [
        (file if number < FOOTERS else None, address)
        for number, file in enumerate(inputs)
        for address in file.embeddings(name).values()
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        dims = list(pool.map(lambda pair: _dim(*pair), pairs))
    for (_, address), dim in zip(pairs, dims, strict=True):
        if dim != dims[0]:
            raise InputError(
                f"`{storage.redact(address)}`: embeddings of {dim} numbers, but `{storage.redact(pairs[0][1])}` has "
                f"{dims[0]}: pictures and captions of all files must be embedded by one model"
            )


def check_counted(inputs: Sequence[InputFile], rows: Sequence[int], name: str = "") -> None:
    """Check that no file has more embeddings than the rows, (files,), that ingest has counted, for a tar has no header;
    nor a table in text fewer, whose rows are known then too, but where each caption of one is a sample.

    Raises:
        InputError: as ``check``.
    """
    pairs = [
        (file, address, count)
        for file, count in zip(inputs[:FOOTERS], rows, strict=False)
        for address in file.embeddings(name).values()
        if outline(file).rows is None
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda pair: _rows_of(pair[1]), pairs))
    for (file, address, count), have in zip(pairs, found, strict=True):
        whole = format_of(file).values_in_table and file.reading.captions != "each"
        if have > count or (whole and have < count):
            raise _other_count(address, have, count, file)


def _rows_of(address: str) -> int:
    with open_matrix(address) as (_, matrix):
        return matrix.rows


def _other_count(address: str, have: int, rows: int, file: InputFile) -> InputError:
    return InputError(
        f"`{storage.redact(address)}`: {have:,} embeddings for the {rows:,} rows of "
        f"`{storage.redact(file.path)}`: they belong to other rows: pair each input file with its own"
    )


def _dim(input_file: InputFile | None, address: str) -> int:
    """The dimension of the embeddings at ``address``, checked to be as many as the rows of ``input_file``."""
    with open_matrix(address) as (_, matrix):
        rows = None if input_file is None else outline(input_file).rows
    if input_file is not None and rows is not None and matrix.rows != rows:
        raise _other_count(address, matrix.rows, rows, input_file)
    return matrix.dim


MAX_DIM = 1 << 16
"""Numbers an embedding; a header with more is damaged."""


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


def read_header(file: BinaryIO, member: str | None = None) -> Matrix:
    """The header of a ``.npy``, or of ``member`` of a ``.npz``.

    Raises:
        InputError: no such file or member, or no matrix (rows, dim) of float16, 32 or 64.
    """
    file.seek(0)
    if file.read(4) != _ZIP_MAGIC:
        if member is not None:
            raise InputError(f"asked for the member `{member}` of a file that is no archive")
        file.seek(0)
        return _parse(file, None, False)
    with _damage_told("the .npz is damaged or truncated"):
        info = _info(file, member)
    with _damage_told(f"the member `{member}` cannot be unpacked"):
        if info.compress_type != zipfile.ZIP_STORED:
            with zipfile.ZipFile(file) as archive, archive.open(info) as stream:
                return _parse(cast(BinaryIO, stream), member, True)
        file.seek(_data_start(file, info))
        return _parse(file, member, False)


@contextmanager
def _damage_told(what: str) -> Iterator[None]:
    """Context in which an archive is read."""
    try:
        yield
    except numpy_arrays.ARCHIVE_DAMAGE as error:
        raise InputError(f"{what}: {numpy_arrays.words_of(error)}") from error


def read_rows(file: BinaryIO, matrix: Matrix, start: int, stop: int) -> NDArray[np.floating]:
    """Rows ``start`` to ``stop`` of ``matrix``, (stop - start, dim), of its stored dtype.

    Raises:
        InputError: the file has fewer rows, or ends early.
    """
    if not 0 <= start <= stop <= matrix.rows:
        raise InputError(f"rows {start} to {stop} wanted of an array that has {matrix.rows}")
    dtype = np.dtype(matrix.dtype)
    width = matrix.dim * dtype.itemsize
    what = "the array" if matrix.member is None else f"the member `{matrix.member}`"
    with _damage_told(f"{what} is damaged"), _stream(file, matrix) as stream:
        stream.seek(matrix.offset + start * width)
        data = _read(stream, (stop - start) * width)
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
    with zipfile.ZipFile(file) as archive:
        names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if member is None or member not in names:
        lacks = "needs the name of an array" if member is None else f"has no array `{member}`"
        raise InputError(
            f"the .npz {lacks}; it has {', '.join(sorted(names))}: write X.npz#NAME, or with `features` the name as "
            "`image_feature` or `text_feature`"
        )
    return names[member]


def _data_start(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Offset of a stored member's bytes: after its local header, whose extra field differs from the directory's."""
    file.seek(info.header_offset)
    local = file.read(_LOCAL_HEADER)
    name, extra = int.from_bytes(local[26:28], "little"), int.from_bytes(local[28:30], "little")
    return info.header_offset + _LOCAL_HEADER + name + extra


def _parse(stream: BinaryIO, member: str | None, compressed: bool) -> Matrix:
    try:
        shape, fortran, dtype = numpy_arrays.read_header(stream)
    except numpy_arrays.DAMAGE as error:
        raise InputError(f"no numpy header: {numpy_arrays.words_of(error)}") from error
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
