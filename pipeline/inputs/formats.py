"""The protocol of input formats, and the format of a file.

A format is one object with the methods of ``Format``, named in ``tamis.schemas.formats``. No other module depends
on which format a file has: tests/inputs/test_formats.py holds every one to the same contract.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Protocol, cast

import pyarrow as pa

from tamis.pipeline.inputs.columns import Columns, whole
from tamis.pipeline.inputs.input_files import InputFile, Reading
from tamis.pipeline.inputs.part_builder import FileTotals, IngestOptions, Section
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tamis.schemas.formats import FORMATS
from tamis.schemas.ledger import Reason
from tamis.schemas.nearest import nearest
from tamis.schemas.tables import find_column

PICTURE_COLUMNS = ["image_offset", "image_size", "sha256", "row_group", "group_row"]
MEMBER_COLUMNS = [*PICTURE_COLUMNS, "members", "text", "meta", "image_format", "url"]
VALUE_COLUMNS = ["meta", "row_group", "group_row"]
"""Columns of the ingest table for ``pictures``, ``members`` and ``values`` of a format."""

FOOTERS = 64
"""Files that are opened to be counted; of more of them only ingest counts the rows."""

Buffer = bytes | memoryview

Sample = list[tuple[str, Buffer]]
"""The members of a sample: (suffix, bytes). A view keeps its whole chunk in memory."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Facts of a file before it is walked; the defaults are those of a file without header or footer.

    Attributes:
        rows: their count; None where only a walk can tell.
        pictures: whether it has any; None where that is unknown, or it has no row.
        taken: a name of ingest's (``text``, ``width``) -> the input's own column for it.
        damage: the error of a file that cannot be opened, which is one row of the ledger.
        refused: the error, in one line, of a file that no job can read: its samples are dropped, and where no file of
            the format in its entry can be read, the job is refused.
    """

    rows: int | None = None
    pictures: bool | None = True
    taken: Mapping[str, str] = field(default_factory=dict)
    damage: str | None = None
    refused: str | None = None

    def accepted(self) -> Outline:
        """The outline, of a file that a job can read.

        Raises:
            InputError: no job can.
        """
        if self.refused is not None:
            raise InputError(self.refused)
        return self


def lacking(reading: Reading, taken: Collection[str]) -> Reason:
    """The reason for which samples of a refused file are dropped, of which the names ``taken`` were found."""
    if "text" not in taken and reading.captions != "none":
        return Reason.MISSING_CAPTION
    lost = "image" not in taken and bool(reading.names("image"))
    return Reason.MISSING_IMAGE if lost else Reason.UNREADABLE_ROW


class Format(Protocol):
    """A reader of files of one kind.

    ``walk`` makes rows of schema INGEST, of samples and of damage. ``pictures``, ``members`` and ``values`` get some of
    these rows back, all of one part, in the order of the file; their results are in that order, a bounded chunk at a
    time. A format notes what it needs for that in ``image_offset``, ``row_group``, ``group_row`` and ``meta``;
    ``members``, where it fills them, are ranges of bytes of the file, from which ``plan`` sees how far a walk has come.
    """

    endings: tuple[str, ...]
    """Of the files' names, in lower case, with their dot."""

    values_in_table: bool
    """Whether ``values`` come out of the rows alone; else a change to the file computes them again."""

    version: int | None = None
    """It goes up when a file of the format has other rows than before: then all of them are walked again."""

    def outline(self, file: InputFile) -> Outline:
        """The facts of the file, in a read or two. Damage is a field of it, not raised."""
        ...

    def columns(self, file: InputFile) -> Columns:
        """The input's own columns, from a schema or the first samples; none where the file cannot be read."""
        ...

    def own_names(self, file: InputFile) -> Collection[str]:
        """The names of these columns, without the fields inside them."""
        return whole(self.columns(file))

    def walk(
        self, file: InputFile, options: IngestOptions, totals: FileTotals
    ) -> Iterator[Section]:
        """The rows of the whole file, in its order, read once; then ``totals`` is filled in.

        Damage is a row with a reason, and never an exception. A picture goes through ``picture_row`` with the
        number of its row in the file, a caption through ``judge_caption``; a uid is the input's own or ``hash_uid``.

        Of a file whose outline says that it is refused each sample is a row with that reason (``lacking``).

        Raises:
            InputError: the file is missing.
        """
        ...

    def blocks(self, file: InputFile) -> Iterator[bytes]:
        """The bytes of which ``totals`` has number and SHA-256, a bounded block at a time. By default the file's.

        Raises:
            FileNotFoundError: nothing is there.
        """
        with storage.open_read(file.path) as stream:
            while block := stream.read(storage.READ_BLOCK):
                yield block

    def pictures(self, file: InputFile, rows: pa.Table) -> Iterator[bytes]:
        """The bytes of each row's picture. ``rows`` has PICTURE_COLUMNS.

        Raises:
            InputError: one has another ``sha256`` than its row (``check_same``).
        """
        ...

    def members(self, file: InputFile, rows: pa.Table) -> Iterator[Sample]:
        """The members of each row's sample for a shard, in their original bytes. ``rows`` has MEMBER_COLUMNS.

        Raises:
            InputError: as ``pictures``.
        """
        ...

    def values(
        self, file: InputFile, rows: pa.Table, wanted: Mapping[str, pa.DataType]
    ) -> dict[str, pa.Array]:
        """Some of the input's own columns, an array of each type wanted, a value a row. ``rows`` has VALUE_COLUMNS.

        Raises:
            InputError: a column is missing, or of another type than in the entry's other files.
        """
        ...

    def own_schema(self, file: InputFile, rows: pa.Table) -> pa.Schema:
        """All of the input's own columns in these rows, typed as they are there. ``rows`` has VALUE_COLUMNS.

        A column that holds the pictures is left out, or stands without their bytes. By default the numbers, texts and
        truths that ``columns`` names.
        """
        del rows
        kinds = whole(self.columns(file)).items()
        return pa.schema(
            [(name, kind) for name, kind in kinds if kind is not None and kind != pa.null()]
        )

    def own(
        self, file: InputFile, rows: pa.Table, names: Collection[str] | None
    ) -> Iterator[pa.Table]:
        """Those columns of ``own_schema`` that ``names`` has, a value a row, in one table or several; all for None.

        Of its types, or text that can be read as them: then a column whose parts differ in type has the text itself.

        Raises:
            InputError: the file has changed.
        """
        schema = self.own_schema(file, rows)
        wanted = {
            field.name: field.type for field in schema if names is None or field.name in names
        }
        if not wanted:
            yield pa.table({"": pa.nulls(rows.num_rows)}).select([])
        else:
            yield pa.table(self.values(file, rows, wanted))

    def names_pictures(self, file: InputFile) -> bool:
        """Whether its rows name pictures in files beside it: that one has changed, no stamp of the file tells."""
        del file
        return False

    def picture_field(self, file: InputFile) -> pa.Field | None:
        """The column that holds the pictures: bytes, or a struct with a field ``bytes``. None: they are no column."""
        del file
        return None

    def mend(self, file: InputFile, rows: pa.Table) -> str | None:
        """Advice how to write a file anew of which the first ``rows`` (INGEST) show that samples are in pieces.

        None where they are whole, as they always are in a table.
        """
        del file, rows
        return None

    def where(self, read: Mapping[str, Any]) -> str | None:
        """A sample's position in its file, for people: "row 12". ``read`` is its ingest row without nulls."""
        ...


def format_named(name: str) -> Format:
    """The format of that name in FORMATS.

    Raises:
        InputError: no such format.
    """
    if name not in FORMATS:
        raise InputError(f"no input format `{name}`{nearest(name, list(FORMATS))}")
    return _imported(FORMATS[name])


@cache  # asked for each file of a shard, by a run with nothing to do too
def _imported(address: str) -> Format:
    module, _, attribute = address.partition(":")
    return cast(Format, getattr(importlib.import_module(module), attribute))


def format_of(file: InputFile) -> Format:
    """The format of a file.

    Raises:
        InputError: its ``kind`` is no format.
    """
    return format_named(file.kind)


@lru_cache(maxsize=1024)
def outline(file: InputFile) -> Outline:
    """The facts of a file before it is walked."""
    return format_of(file).outline(file)


def rows_of(files: Sequence[InputFile]) -> int | None:
    """Count of rows of all files; None where one is unknown, or more than FOOTERS files would be opened."""
    if len(files) > FOOTERS:
        return None
    total = 0
    for file in files:
        rows = outline(file).rows
        if rows is None:
            return None
        total += rows
    return total


def readable(files: Iterable[InputFile]) -> Iterator[InputFile]:
    """The first file of each entry and format that a job can read, of those that are looked at.

    Raises:
        InputError: none of an entry and format can be read, as the first of them says.
    """
    looked: dict[tuple[str, str], list[InputFile]] = {}
    found: set[tuple[str, str]] = set()
    for file in files:
        place = file.entry, file.kind
        before = looked.setdefault(place, [])
        if place in found or len(before) >= FOOTERS:
            continue
        before.append(file)
        if outline(file).refused is None:
            found.add(place)
            yield file
    for place in looked.keys() - found:
        outline(looked[place][0]).accepted()


def check_same(
    file: InputFile, pictures: Iterable[Buffer], hashes: Iterable[bytes], path: str | None = None
) -> None:
    """Check that pictures have the SHA-256 ``hashes`` that ingest noted; ``path`` as the file names one beside it.

    Raises:
        InputError: one has not.
    """
    for data, digest in zip(pictures, hashes, strict=True):
        if hashlib.sha256(data).digest() != digest:
            named = (
                "a picture"
                if path is None
                else f"the picture `{storage.redact(path)}` that it names"
            )
            raise InputError(
                f"`{storage.redact(file.path)}` has changed since it was ingested: {named} is not "
                "the one whose hash was recorded; run again with --accept-changed"
            )


def check_texts(file: InputFile, members: Sample, text: str | None, meta: str | None) -> None:
    """Check that a sample's caption and json are those that ingest noted; None where it noted none.

    Raises:
        InputError: one is not.
    """
    for suffix, noted in (("txt", text), ("json", meta)):
        for name, data in members:
            if name == suffix and noted is not None and str(data, "utf-8-sig", "replace") != noted:
                raise InputError(
                    f"`{storage.redact(file.path)}` has changed since it was ingested: a {suffix} member is not the "
                    "one that was recorded; run again with --accept-changed"
                )


def may_have_url(file: InputFile) -> bool:
    """False where a schema says that the file has no column of URLs."""
    form = format_of(file)
    columns = {} if form.values_in_table else form.columns(file)
    return not columns or find_column("url", list(columns)) is not None
