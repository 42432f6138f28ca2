"""What every input format answers, and the way from a file to its format.

A format is one object with the methods of ``Format``, named in ``tamis.schemas.formats``. No module outside it asks
which format a file has: tests/inputs/test_formats.py holds every one to the same contract.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, cast

import pyarrow as pa

from tamis.pipeline.inputs.columns import Columns
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import FileTotals, IngestOptions, Run
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError
from tamis.schemas.formats import FORMATS
from tamis.schemas.nearest import nearest

PICTURE_COLUMNS = ["image_offset", "image_size", "sha256", "row_group", "group_row"]
MEMBER_COLUMNS = [*PICTURE_COLUMNS, "members", "text", "image_format", "url"]
VALUE_COLUMNS = ["meta", "row_group", "group_row"]
"""What ``pictures``, ``members`` and ``values`` of a format need of the ingest table."""

FOOTERS = 64
"""Files that are opened to be counted; with more of them only ingest counts."""

Buffer = bytes | memoryview

Sample = list[tuple[str, Buffer]]
"""The members of a sample: (suffix, bytes). A view keeps the chunk that it is of."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a file tells of itself before it is walked; by default what one tells that has no header or footer.

    Attributes:
        rows: how many it has; None where only a walk can tell.
        pictures: whether it has any; None where that cannot be told, or there is no row.
        taken: what ingest looks for (``text``, ``width``) -> the input's own column that it takes for it.
        damage: why the file cannot be opened: it will be one row of the ledger.
        refused: why no job can read the file, in one line.
    """

    rows: int | None = None
    pictures: bool | None = True
    taken: Mapping[str, str] = field(default_factory=dict)
    damage: str | None = None
    refused: str | None = None

    def accepted(self) -> Outline:
        """The outline of a file that a job can read.

        Raises:
            InputError: it cannot.
        """
        if self.refused is not None:
            raise InputError(self.refused)
        return self


class Format(Protocol):
    """How files of one kind are read.

    ``walk`` makes a row of schema INGEST of everything that it meets. ``pictures``, ``members`` and ``values`` get some
    of the rows back, all of one part, in the order of the file; what they give is in that order, a bounded chunk at a
    time. In ``image_offset``, ``row_group``, ``group_row`` and ``meta`` a format notes what it will need for that;
    ``members``, where it fills them, are ranges of bytes of the file, from which ``plan`` sees how far a walk has come.
    """

    endings: tuple[str, ...]
    """Of the files' names, in lower case, with their dot."""

    values_in_table: bool
    """Whether ``values`` come out of the rows alone; else a change to the file computes them again."""

    def outline(self, source: InputFile) -> Outline:
        """What the file tells of itself, in a read or two. Damage is told, not raised."""
        ...

    def columns(self, source: InputFile) -> Columns:
        """The input's own columns, from a schema or the first samples; none where the file cannot be read."""
        ...

    def walk(self, source: InputFile, options: IngestOptions, totals: FileTotals) -> Iterator[Run]:
        """The rows of the whole file, in its order, read once; then ``totals`` is filled in.

        What is damaged is a row with a reason, and never an exception. A picture goes through ``picture_row`` with the
        number of its row in the file, a caption through ``judge_caption``; a uid is the input's own or ``hash_uid``.

        Raises:
            InputError: the file is not there, or lacks what every job needs.
        """
        ...

    def pictures(self, source: InputFile, rows: pa.Table) -> Iterator[bytes]:
        """The bytes of each row's picture. ``rows`` has PICTURE_COLUMNS.

        Raises:
            InputError: they are not those whose ``sha256`` the row has (``check_same``).
        """
        ...

    def members(self, source: InputFile, rows: pa.Table) -> Iterator[Sample]:
        """What of each row's sample goes into a shard, with its original bytes. ``rows`` has MEMBER_COLUMNS.

        Raises:
            InputError: as ``pictures``.
        """
        ...

    def values(
        self, source: InputFile, rows: pa.Table, wanted: Mapping[str, pa.DataType]
    ) -> dict[str, pa.Array]:
        """Some of the input's own columns, an array of each type wanted, a value a row. ``rows`` has VALUE_COLUMNS.

        Raises:
            InputError: the file no longer has them, or they hold something else than in the entry's other files.
        """
        ...

    def where(self, read: Mapping[str, Any]) -> str | None:
        """How a person finds a sample in its file: "row 12". ``read`` has what ingest noted of it, but no nulls."""
        ...


def named(name: str) -> Format:
    """The format that FORMATS has under ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in FORMATS:
        raise InputError(f"no input format `{name}`{nearest(name, list(FORMATS))}")
    module, _, attribute = FORMATS[name].partition(":")
    return cast(Format, getattr(importlib.import_module(module), attribute))


def format_of(source: InputFile) -> Format:
    """The format of a file.

    Raises:
        InputError: there is none of that name.
    """
    return named(source.kind)


@lru_cache(maxsize=1024)
def outline(source: InputFile) -> Outline:
    """What a file tells of itself before it is walked."""
    return format_of(source).outline(source)


def rows_of(sources: Sequence[InputFile]) -> int | None:
    """The rows of all files; None where one of them does not tell, or there are too many to be opened."""
    if len(sources) > FOOTERS:
        return None
    total = 0
    for source in sources:
        rows = outline(source).rows
        if rows is None:
            return None
        total += rows
    return total


def check_same(source: InputFile, pictures: Iterable[Buffer], known: Iterable[bytes]) -> None:
    """Pictures are those that ingest found: ``known`` are their hashes.

    Raises:
        InputError: one is not.
    """
    for data, digest in zip(pictures, known, strict=True):
        if hashlib.sha256(data).digest() != digest:
            raise InputError(
                f"`{storage.redact(source.path)}` has changed since it was ingested: a picture is not "
                "the one whose hash was recorded; run again with --accept-changed"
            )
