"""A parquet file, opened, and the meaning of its columns."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.inputs import own_types
from tamis.pipeline.inputs.captions import CAPTIONS_ARE_TEXT
from tamis.pipeline.inputs.input_files import BY_ALIAS, Reading
from tamis.pipeline.inputs.other_formats import named
from tamis.pipeline.inputs.parquet.inner import Name, Way, inner_type, is_list, stored_way, way_of
from tamis.pipeline.inputs.parquet.leaves import chosen, is_twice, unique
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.store import storage
from tamis.pipeline.store.damage import CONTENT, require_content
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.store.sized import Sized
from tamis.schemas.errors import InputError

MAGIC = b"PAR1"
"""Of parquet, in front."""

FIRST_BYTES = 64
"""By which files of other formats are known."""

BATCH_ROWS = 1024
BATCH_ROWS_WITH_PICTURES = 32
READ_BUFFER = 1 << 20
"""Bytes of a column read at a time: a column chunk is never held whole."""

BROKEN = (*CONTENT, ValueError, OverflowError)
"""Errors of pyarrow on a damaged file, once ``require_content`` has looked at them."""

MARK = b"tamis"
"""The key of the metadata of a column that tamis has written; the value is its name among tamis' own."""

SAID = {"uid": b"uid", "text": b"caption"}
"""What ingest looks for -> the mark of the column in which a result says it."""

TAKEN = ("text", "image", "url", "uid", "key", "width", "height", "sha256")
"""Names of the columns that ingest looks for."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The input's own names of the columns that ingest reads; None for a missing one.

    ``image`` is the column of pictures. Their bytes are in ``bytes``: the column itself, or a struct's field `bytes`;
    the paths of those that lie beside the file in ``paths``. ``stored``: what is decoded for all of them.
    """

    text: str | None
    image: str | None
    url: str | None
    uid: str | None
    key: str | None
    width: str | None
    height: str | None
    sha256: str | None
    bytes: Way | None = None
    paths: Way | None = None
    stored: tuple[Way, ...] = ()

    @property
    def pictures(self) -> list[Way]:
        """What is read of pictures."""
        return [way for way in (self.bytes, self.paths) if way is not None]

    @property
    def facts(self) -> list[str]:
        """What is read beside pictures."""
        more = () if self.image else (self.width, self.height, self.sha256)
        names = (self.text, self.url, self.uid, self.key, *more)
        return [*dict.fromkeys(name for name in names if name is not None)]

    @property
    def wanted(self) -> list[Name]:
        """The columns and fields to read."""
        return [*self.facts, *self.pictures]


class _PageIsAskedFor(Exception):  # noqa: N818 - nothing is wrong
    """A page would be read next."""


class _Unread(Sized):
    """A file of which nothing is read."""

    def readinto(self, buffer: Any) -> int:  # noqa: ARG002
        """Refuse."""
        raise _PageIsAskedFor


class InputParquet(ParquetFile):
    """A parquet file that is read in small pieces, and closes its raw file with itself, which pyarrow leaves open.

    Its columns have one name each, as ``unique`` gives them.
    """

    def __init__(
        self,
        raw: BinaryIO,
        metadata: pq.FileMetaData | None = None,
        read_dictionary: Sequence[str] | None = None,
    ) -> None:
        super().__init__(raw, metadata, READ_BUFFER, read_dictionary)

    def close(self, force: bool = True) -> None:
        """Close it, and with ``force`` the raw file."""
        super().close(force)

    @cached_property
    def schema_arrow(self) -> pa.Schema:
        """The columns."""
        return unique(self.reader.schema_arrow)

    def iter_batches(
        self, batch_size: int, row_groups: Sequence[int], columns: Sequence[Name]
    ) -> Iterator[pa.RecordBatch]:
        """The rows of some row groups, of a column those fields alone that ``columns`` names."""
        leaves, names = chosen(self.schema_arrow, columns)
        for batch in self.of_leaves(batch_size, row_groups, leaves):
            yield batch.rename_columns(names)

    def of_leaves(
        self, batch_size: int, row_groups: Sequence[int], leaves: Sequence[int]
    ) -> Iterator[pa.RecordBatch]:
        """The same, of the leaves with these numbers, ascending."""
        found: Iterator[pa.RecordBatch] = self.reader.iter_batches(
            batch_size, row_groups=row_groups, column_indices=leaves, use_threads=False
        )
        return found

    def chunks(self, group: int, leaves: Sequence[int]) -> dict[int, pq.ColumnChunkMetaData]:
        """What the footer says of some leaves of one row group; nothing else is read.

        Raises:
            OSError, pa.ArrowException: it contradicts itself.
        """
        # Asked for it at once, pyarrow ends the process. A reader of these columns finds it out first, and raises.
        size = self._raw.seek(0, os.SEEK_END)
        nothing = cast("BinaryIO", _Unread(size))
        unread = ParquetFile(nothing, self.metadata, READ_BUFFER).reader
        with suppress(_PageIsAskedFor):
            next(unread.iter_batches(1, row_groups=[group], column_indices=leaves), None)
        told = self.metadata.row_group(group)
        chunks = {leaf: told.column(leaf) for leaf in leaves}
        for leaf, chunk in chunks.items():
            kind = self.metadata.schema.column(leaf).physical_type
            if chunk.physical_type != kind:  # its statistics would end the process too
                raise pa.ArrowInvalid(
                    f"a column of {kind} is {chunk.physical_type} in row group {group}"
                )
        return chunks

    def with_dictionaries(self, columns: Sequence[str]) -> InputParquet:
        """A second reader of the file, to which these columns' dictionaries are not unfolded; leave it open."""
        return InputParquet(self._raw, self.metadata, columns)


def open_parquet(path: str) -> InputParquet:
    """A parquet file that is read in small pieces, page checksums verified; close it.

    Raises:
        InputError: it is gone.
    """
    try:
        raw = storage.open_table(path)
    except FileNotFoundError:
        raise InputError(f"`{storage.redact(path)}` is not there any more") from None
    try:
        return InputParquet(raw)
    except BROKEN as error:
        raw.close()
        require_content(error, path)
        raise


def words(error: BaseException) -> str:
    """An error's message in one line, without memory addresses."""
    return re.sub(r"0x[0-9a-f]+", "0x...", " ".join(str(error).split()))


def why_broken(path: str, error: BaseException) -> str:
    """The reason why a file is no parquet: what its first bytes say it is, else the error's."""
    with storage.open_read(path) as file:
        start = file.read(FIRST_BYTES)
    if start.startswith(MAGIC):
        of_column = isinstance(error, NotImplementedError)
        return words(error) + (": write the file without that column" if of_column else "")
    return named(start) or words(error)


def find_columns(
    schema: pa.Schema,
    options: IngestOptions,
    path: str,
    reading: Reading = BY_ALIAS,
    told: Collection[str] = (),
) -> Columns:
    """The meaning of the columns; ``told`` are those that stand in the file's path, of which one is the caption.

    Raises:
        InputError: a column that is needed is missing, or is of a type that
            cannot hold it; the message lists the file's columns.
    """
    names: dict[str, str | None] = {}
    for name in TAKEN:
        column = own_name(schema, name, reading)
        if column is not None and is_twice(schema, column):
            raise InputError(f"`{storage.redact(path)}` has more than one column `{column}`")
        if (
            column is None
            and not (name == "text" and told)
            and (name in options.need or reading.names(name))
            and _is_needed(name, reading)
        ):
            raise InputError(_no_column(schema, path, name, reading))
        names[name] = column
    if names["text"] is not None:
        kind = inner_type(schema, names["text"])
        rule = CAPTIONS_ARE_TEXT
        if is_texts(kind):
            rule = "captions are text: of a list say `captions: first` or `captions: each`"
        fits = is_string(kind) or is_bytes(kind) or (is_texts(kind) and reading.captions != "one")
        _expect(fits, path, names["text"], kind, rule)
    data, paths = picture_fields(schema, path, names["image"])
    found = Columns(**names, bytes=data, paths=paths, stored=())
    stored = dict.fromkeys(stored_way(schema, name) for name in found.wanted)
    return replace(found, stored=tuple(stored))


def own_name(schema: pa.Schema, name: str, reading: Reading = BY_ALIAS) -> str | None:
    """The file's own name of what ingest calls ``name``: a column, or by the job a field inside one; None for none."""
    column = reading.column(name, schema.names)
    if name in SAID and column is not None and not reading.names(name):
        column = _said(schema, name, column)
    if column is None and _is_needed(name, reading):
        column = next((n for n in reading.names(name) if inner_type(schema, n)), None)
    return column


def _said(schema: pa.Schema, name: str, usual: str) -> str:
    """The column in which a result says what was ingested, where that of the usual name is its input's: uids, of which
    a row of several captions has one, and lists of captions.
    """
    if name == "text" and not is_list(schema.field(usual).type):
        return usual
    marks = {(field.metadata or {}).get(MARK): field.name for field in schema}
    return str(marks.get(SAID[name], usual))


def picture_fields(
    schema: pa.Schema, path: str, column: str | None
) -> tuple[Way | None, Way | None]:
    """The way to what of the column of pictures holds their bytes, and what their paths: the column, or a field of it.

    Raises:
        InputError: neither.
    """
    if column is None:
        return None, None
    kind = inner_type(schema, column) or pa.null()
    way = way_of(schema, column)
    fields = [(way, kind)]
    if pa.types.is_struct(kind):
        fields = [
            ((*way, name), kind.field(name).type)
            for name in ("bytes", "path")
            if kind.get_field_index(name) >= 0
        ]
    data = next((n for n, of in fields if is_bytes(of) or pa.types.is_null(of)), None)
    paths = next((name for name, of in fields if is_string(of)), None)
    rule = "pictures are bytes, {bytes, path}, or paths of files"
    if is_list(kind):
        rule += f": of a list say which, from 0: `columns: {{image: {column}.0}}`"
    inner = _inner_picture(kind)
    if inner is not None:
        rule += f": say where they are: `columns: {{image: {column}.{inner}}}`"
    _expect(data is not None or paths is not None, path, column, kind, rule)
    return data, paths


def has_nulls(parquet: InputParquet, column: Sequence[str]) -> bool:
    """Whether a column, or a field of it (``image``, ``bytes``), has a null by the footer's counts."""
    schema = parquet.metadata.schema
    named = ".".join(column)
    leaves = [number for number in range(len(schema)) if schema.column(number).path == named]
    for group in range(parquet.num_row_groups):
        with suppress(*BROKEN):  # its rows are none
            for chunk in parquet.chunks(group, leaves).values():
                told = chunk.statistics if chunk.is_stats_set else None
                if told is not None and told.has_null_count and told.null_count:
                    return True
    return False


def _inner_picture(kind: pa.DataType) -> str | None:
    """The first field of a struct that may hold pictures."""
    fields = list(kind) if pa.types.is_struct(kind) else []
    return next((f.name for f in fields if is_bytes(f.type) or pa.types.is_struct(f.type)), None)


def _is_needed(name: str, reading: Reading) -> bool:
    return name != "text" or reading.captions != "none"


def _no_column(schema: pa.Schema, path: str, name: str, reading: Reading) -> str:
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
    named = reading.names(name)
    if named:
        return f"`{storage.redact(path)}` has no column {' or '.join(named)}; it has {columns}"
    mend = f"name it: `columns: {{{name}: NAME}}`"
    if name == "text":
        mend += ", or say `captions: none`"
    return f"`{storage.redact(path)}` has no column for `{name}`; it has {columns}: {mend}"


def _expect(fits: bool, path: str, column: str, kind: pa.DataType, rule: str) -> None:
    if not fits and not pa.types.is_null(kind):  # a column of nulls alone has no type of its own
        raise InputError(
            f"`{storage.redact(path)}`: the column `{column}` is of type {kind}, but {rule}"
        )


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type holds bytes, or a dictionary of them."""
    return own_types.is_bytes(kind.value_type if pa.types.is_dictionary(kind) else kind)


def is_texts(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists of texts."""
    types = pa.types
    return bool(is_list(kind) and (is_string(kind.value_type) or types.is_null(kind.value_type)))


def is_string(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
