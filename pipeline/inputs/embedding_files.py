"""Embedding files that come with the input: opened by their address, and compared with the files they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO

from tamis.pipeline.encoders import precomputed
from tamis.pipeline.encoders.precomputed import Matrix
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet import BROKEN, open_parquet
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError

AT_ONCE = 16
"""Headers that are read at a time."""

FOOTERS = 1_000
"""Parquet files whose rows are counted before a run; the rest of more is taken on trust."""


@contextmanager
def opened(address: str) -> Iterator[tuple[BinaryIO, Matrix]]:
    """An embedding file (``path`` or ``path.npz#member``) and what its header says.

    Raises:
        InputError: it is not there, or is not what its name says; with its path.
    """
    path, _, member = address.partition("#")
    try:
        with storage.open_read(path) as file:
            yield file, precomputed.header(file, member or None)
    except FileNotFoundError:
        raise InputError(
            f"`{storage.redact(path)}` is not there: {storage.nearest(path)}"
        ) from None
    except InputError as error:
        raise InputError(f"`{storage.redact(path)}`: {error}") from error


def check(inputs: Sequence[InputFile]) -> None:
    """All embeddings are of one dimension, and no file has more of them than its input has rows.

    Headers and footers alone are read. With fewer rows than the input, the rest is `missing_embedding` in the ledger.

    Raises:
        InputError: names the two files that do not fit.
    """
    beside = [
        (file if number < FOOTERS else None, address)
        for number, file in enumerate(inputs)
        for address in (file.image_embeddings, file.text_embeddings)
        if address is not None
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        dims = list(pool.map(lambda pair: _fits(*pair), beside))
    for (_, address), dim in zip(beside, dims, strict=True):
        if dim != dims[0]:
            raise InputError(
                f"`{storage.redact(address)}`: embeddings of {dim} numbers, but `{storage.redact(beside[0][1])}` has "
                f"{dims[0]}: pictures and captions of all files must be embedded by one model"
            )


def _fits(input_file: InputFile | None, address: str) -> int:
    """The dimension of the embeddings at ``address``, which are no more than the rows of ``input_file``."""
    with opened(address) as (_, matrix):
        rows = None if input_file is None else _rows(input_file)
    if input_file is not None and rows is not None and matrix.rows > rows:
        raise InputError(
            f"`{storage.redact(address)}`: {matrix.rows:,} embeddings for the {rows:,} rows of "
            f"`{storage.redact(input_file.path)}`: they belong to other rows: pair each parquet file with its own"
        )
    return matrix.dim


def _rows(file: InputFile) -> int | None:
    """How many rows a parquet file's footer counts; None where it cannot be read: that is ingest's to report."""
    if file.kind != "parquet":
        return None
    try:
        with open_parquet(file.path) as parquet:
            return int(parquet.metadata.num_rows)
    except BROKEN:
        return None
