"""Rows of the ingest table, gathered into parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.inputs.images import MAX_PIXELS, ImageDamage, inspect
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.thumbnails import looks
from tamis.pipeline.inputs.uids import hash_uid
from tamis.pipeline.store import storage
from tamis.schemas.ledger import Reason
from tamis.schemas.tables import INGEST

MAX_MEMBER_BYTES = 256 << 20

MAX_PART_BYTES = 64 << 20
"""Bytes of text of all kinds that end a part early: its columns stay in memory."""

MAX_URL_BYTES = 64 << 10
"""A longer URL is left out."""

MAX_KEY_BYTES = 4 << 10
"""A longer key of a row is left out: the row's number stands for it. A tar's keys are as long as its names."""

MEMBER_BYTES = 64
"""Of a member in a row's list, beside its suffix."""

COUNTED = ("text", "meta", "key", "url", "message")
"""The columns whose length has no small bound."""


FILE = -1
"""Stands among a file's sections for the file itself."""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """The limits of ingest, and the cut of a file into parts.

    Attributes:
        part_samples: rows a part, at most.
        max_pixels: width times height; more is a bomb and is not decoded.
        max_member_bytes: of a tar member or a parquet cell.
        max_caption_bytes: in UTF-8.
        max_meta_bytes: of a json member; a larger one is left out.
        empty_captions: take a caption in which there is nothing to see; otherwise it is a fault.
        need: parquet: the names whose column must exist; without "image" in it, a file that has no
            pictures gives rows of metadata alone.
        span: decode only the pictures of these rows of the file (from, to): see tamis.pipeline.runs.isolate.
        culprits: rows of the file whose pictures end the process that decodes them.
        sections: read only these sections of the file (from, to), and of each other one give a row that says so.
        closed: sections of the file that end the process that reads them; FILE if opening it does.
    """

    part_samples: int = 10_000
    max_pixels: int = MAX_PIXELS
    max_member_bytes: int = MAX_MEMBER_BYTES
    max_caption_bytes: int = 64 << 10
    max_meta_bytes: int = 1 << 20
    empty_captions: bool = False
    need: tuple[str, ...] = ("text",)
    span: tuple[int, int] | None = None
    culprits: frozenset[int] = frozenset()
    sections: tuple[int, int] | None = None
    closed: frozenset[int] = frozenset()

    @property
    def opens_all(self) -> bool:
        """Whether every picture is decoded."""
        return self.span is None and not self.culprits

    def why_unopened(self, number: int) -> str | None:
        """The reason not to decode the picture of the file's row ``number``; None where there is none."""
        if self.span is not None and not self.span[0] <= number < self.span[1]:
            return "not opened"
        if number in self.culprits:
            return "decoding the picture ends the worker process"
        return None


@dataclass(slots=True)
class FileTotals:
    """The size and the digest of a whole input file; known once its last table is out."""

    size: int = 0
    sha256: bytes = b""


Row = dict[str, Any]
"""A row of INGEST; absent columns are null. ``THUMBNAILS`` stand for two of them."""

THUMBNAILS = "thumbnails"
"""A picture's, from which its perceptual hash and its layout are made with those of the part's other pictures."""


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that stand together in a file, such as a row group; they share a part if all ``size`` of them fit.

    ``pieces`` are single rows, or tables of schema INGEST where many are made at once. ``unread`` gives the same rows
    without a look at them, each with the message that it is given; None where only a walk can count them.
    """

    size: int
    pieces: Iterator[Row | pa.Table]
    unread: Callable[[str], Iterator[Row]] | None = None


def hash_file(path: str) -> tuple[int, bytes]:
    """Size in bytes and SHA-256 of a file, read once."""
    digest = hashlib.sha256()
    size = 0
    with storage.open_read(path) as stream:
        while chunk := stream.read(storage.READ_BLOCK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.digest()


def fault(reason: Reason, message: str, offset: int | None) -> Row:
    """The columns of a row's fault: its reason, a message, and an offset in bytes."""
    sound = message.encode("utf-8", "replace").decode()  # a name may have half a surrogate pair
    return {"reason": str(reason), "message": sound, "error_offset": offset}


def damage_row(file: InputFile, reason: Reason, message: str, offset: int = 0) -> Row:
    """The row of a range of bytes without a sample, or of a whole file; its key is the offset."""
    key = str(offset)
    uid = hash_uid(file.entry, file.relative, "damage", key, 0)
    return {"uid": uid, "key": key} | fault(reason, message, offset)


def picture_row(
    data: bytes | memoryview, offset: int | None, number: int, options: IngestOptions
) -> Row:
    """The columns of the picture of a file's row ``number``: its facts, or its fault."""
    row: Row = {"image_size": len(data), "sha256": hashlib.sha256(data).digest()}
    refusal = options.why_unopened(number)
    if refusal:
        return row | fault(Reason.KILLED_ITS_WORKER, refusal, offset)
    try:
        picture = inspect(data, options.max_pixels)
    except ImageDamage as damage:
        return row | fault(damage.reason, damage.message, offset)
    return row | {
        "image_format": picture.format,
        "width": picture.width,
        "height": picture.height,
        "pixels": picture.pixels,
        THUMBNAILS: picture.thumbnails,
    }


class PartBuilder:
    """Rows of one part: whole tables, and behind them the last rows as lists, a list a column."""

    def __init__(self, options: IngestOptions) -> None:
        self._options = options
        self._empty()

    def _empty(self) -> None:
        self._tables: list[pa.Table] = []
        self._columns: dict[str, list[Any]] = {name: [] for name in INGEST.names}
        self._thumbnails: dict[int, bytes] = {}  # by row of the columns
        self._rows = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, piece: Row | pa.Table) -> Iterator[pa.Table]:
        """Append a row or a table; gives each part that it fills."""
        if isinstance(piece, dict):
            self._add_row(piece)
            if self._full:
                yield self.take()
            return
        while piece.num_rows:
            sizes = pc.cumulative_sum(_sizes(piece))
            short = pc.less(sizes, MAX_PART_BYTES - self._bytes)
            # The row that fills the part is its last.
            filled = (pc.sum(short).as_py() or 0) + 1
            count = min(piece.num_rows, filled, self._options.part_samples - self._rows)
            self._add_table(piece.slice(0, count))
            self._bytes += sizes[count - 1].as_py()
            piece = piece.slice(count)
            if self._full:
                yield self.take()

    @property
    def _full(self) -> bool:
        """Whether the part must end here."""
        return self._rows >= self._options.part_samples or self._bytes >= MAX_PART_BYTES

    def _add_row(self, row: Row) -> None:
        for name, column in self._columns.items():
            column.append(row.get(name))
        if THUMBNAILS in row:
            self._thumbnails[len(self._columns["uid"]) - 1] = row[THUMBNAILS]
        self._rows += 1
        self._bytes += sum(_size(row.get(name)) for name in COUNTED)
        self._bytes += sum(MEMBER_BYTES + len(m["suffix"]) for m in row.get("members") or ())

    def _add_table(self, table: pa.Table) -> None:
        self._close_columns()
        self._tables.append(table)
        self._rows += table.num_rows

    def _close_columns(self) -> None:
        if self._columns["uid"]:
            self._look()
            self._tables.append(pa.Table.from_pydict(self._columns, schema=INGEST))
            self._columns, self._thumbnails = {name: [] for name in INGEST.names}, {}

    def _look(self) -> None:
        """Make the hashes and layouts of the pictures among the last rows."""
        phashes, layouts = looks([*self._thumbnails.values()])
        for row, phash, layout in zip(self._thumbnails, phashes.tolist(), layouts, strict=True):
            self._columns["phash"][row] = phash
            self._columns["layout"][row] = layout.tobytes()

    def take(self) -> pa.Table:
        """The part as a table of schema INGEST; the builder is empty again."""
        self._close_columns()
        # In one piece: a table in several has other bytes in its file.
        table = pa.concat_tables(self._tables).combine_chunks()
        self._empty()
        return table


def _sizes(table: pa.Table) -> pa.ChunkedArray:
    """(n,) bytes of text of each row; a table has no members."""
    some = [name for name in COUNTED if table[name].null_count < table.num_rows]
    first, *others = (
        pc.fill_null(pc.binary_length(table[name]).cast(pa.int64()), 0) for name in some
    )
    for other in others:
        first = pc.add(first, other)
    return first


def _size(text: str | None) -> int:
    """Bytes of a text in UTF-8."""
    if text is None or text.isascii():
        return len(text or "")
    return len(text.encode("utf-8", "surrogatepass"))
