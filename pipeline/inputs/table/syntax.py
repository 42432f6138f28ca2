"""The two ways to write a table in text: JSON lines, whose values have types, and CSV, whose cells are text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from tamis.pipeline.inputs import columns, json_rows, json_text, own_columns
from tamis.pipeline.inputs.other_formats import decoded, named, unmarked
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.inputs.table import arrays, cells, json_faults
from tamis.pipeline.inputs.table.records import MAX_LINES, Record, lines, quoted
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError

LOOKED_AT = 100
"""First records, at least, from which a file's columns are told."""

DELIMITERS = ",;\t|"

QUOTES = 'a quote inside of quotes is written twice, as "", and no blank follows the last one'
"""The mend of a cell that goes on behind its quotes."""

LIMIT = IngestOptions().max_meta_bytes
"""Bytes of a record, of either syntax."""

OPEN = (
    f"a quote opens its last cell, and with the lines behind it, {MAX_LINES:,} lines and {LIMIT:,} bytes at most, it "
    'is no record either: close the quote, or write the cell in quotes and each quote in it twice, as ""'
)

LONG = "{size:,} bytes, and {limit:,} are the limit of a row: shorten its longest value, or leave it out"

csv.field_size_limit(max(csv.field_size_limit(), 1 << 30))
# A record's bytes are bounded before its cells are read: they have no bound of their own.

Fields = dict[str, Any]


class Syntax(Protocol):
    """The reading of one file's records."""

    @property
    def looked_at(self) -> int:
        """Bytes of first records from which columns are told; LOOKED_AT records are looked at in any case."""
        ...

    def records(self, stream: BinaryIO, limit: int) -> Iterator[Record]:
        """The records of samples, in the order of the file."""
        ...

    def parse(self, data: bytes) -> Fields:
        """A record's fields. ValueError: it is no record; the message says why."""
        ...

    def kinds(self, rows: Sequence[Fields]) -> columns.Columns:
        """The types of the columns in some first rows."""
        ...

    def values(
        self, texts: Sequence[str | None], wanted: Mapping[str, pa.DataType]
    ) -> dict[str, pa.Array]:
        """Some columns of n records, each the JSON text of its fields."""
        ...

    def own(self, rows: pa.Table) -> pa.Table:
        """All columns of some rows, of the type that holds their values; or as text."""
        ...

    def typed(self, own: pa.Table) -> pa.Schema:
        """These columns of the type that holds their values."""
        ...


class JsonLines:
    """An object a line."""

    looked_at = 1 << 20  # not every object has every key

    why_not = staticmethod(json_faults.of_line)
    """What says why a record is no JSON."""

    def records(self, stream: BinaryIO, limit: int) -> Iterator[Record]:
        """The lines with something in them."""
        return (line for line in lines(stream, limit) if line.data is None or line.data.strip())

    def parse(self, data: bytes) -> Fields:
        """The line's object."""
        try:
            fields = json_text.loaded(decoded(data))
        except json.JSONDecodeError as error:
            raise ValueError(self.why_not(data, error)) from None
        if not isinstance(fields, dict):
            raise ValueError("it is no JSON object")
        return fields

    def kinds(self, rows: Sequence[Fields]) -> columns.Columns:
        """By the first values."""
        return columns.of_json(rows)

    def values(
        self, texts: Sequence[str | None], wanted: Mapping[str, pa.DataType]
    ) -> dict[str, pa.Array]:
        """Of the wanted types; other values are null."""
        return columns.from_json(texts, wanted)

    def own(self, rows: pa.Table) -> pa.Table:
        """As the values are."""
        return json_rows.own(rows)

    def typed(self, own: pa.Table) -> pa.Schema:
        """As they are."""
        return own_columns.schema_of(own)


class JsonList(JsonLines):
    """The objects of one list."""

    why_not = staticmethod(json_faults.of_value)

    def records(self, stream: BinaryIO, limit: int) -> Iterator[Record]:
        """The list's values."""
        return arrays.values(stream, limit)


@dataclass(frozen=True)
class Csv:
    """Cells under the names of a header.

    Attributes:
        names: of the columns; one without a name has that which pandas gives it, by its place.
        delimiter: between cells.
        spaced: whether a blank stands behind each delimiter, which is no part of a cell.
        unnamed: those of the names that do not stand in the header. Their empty cells are none: most such columns come
            of a delimiter at the ends of the lines.
    """

    names: tuple[str, ...]
    delimiter: str
    spaced: bool = False
    unnamed: frozenset[str] = frozenset()

    @property
    def looked_at(self) -> int:
        """None more: the header has all names, and a number among the first cells stays one."""
        return 0

    @classmethod
    def of(cls, header: Record, delimiters: str) -> Csv:
        """The syntax that a header shows; of several delimiters the most frequent one counts.

        Raises:
            ValueError: it is no header.
        """
        if header.data is None:
            raise ValueError(LONG.format(size=header.size, limit=LIMIT))
        text = decoded(header.data)
        if text.startswith("sep="):
            raise ValueError("its first line, sep=, is for Excel alone: remove it (sed -i 1d)")
        delimiter = max(delimiters, key=text.count)
        if text.startswith("#") and not text.count(delimiter):
            raise ValueError("its first line is a remark: remove it (sed -i 1d)")
        cells_ = _names(text, delimiter)
        spaced = len(cells_) > 1 and all(cell.startswith(" ") for cell in cells_[1:])
        written = [name.strip() for name in _cells(text, delimiter, spaced=spaced)]
        if not any(written) or not all(name.isprintable() for name in written):
            known = named(header.data) or unmarked(header.data)
            raise ValueError(known or "the header is no line of names")
        names = tuple(name or f"Unnamed: {place}" for place, name in enumerate(written))
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"the header has more than one column `{twice[0]}`: give one another name"
            )
        return cls(names, delimiter, spaced, frozenset(names).difference(written))

    def records(self, stream: BinaryIO, limit: int) -> Iterator[Record]:
        """Those below the header that have something in them."""
        below = islice(lines(stream, limit), 1, None)
        found = quoted(below, limit, self._count, len(self.names))
        return (r for r in found if r.data is None or r.data.strip())

    def _count(self, texts: Iterator[str]) -> int | None:
        """Cells of the first record, by the reader that reads them later."""
        try:
            return len(next(_reader(texts, self.delimiter, spaced=self.spaced)))
        except (csv.Error, StopIteration):
            return None

    def parse(self, data: bytes) -> Fields:
        """Column -> cell; an empty one is None."""
        found = _cells(decoded(data), self.delimiter, spaced=self.spaced)
        if len(found) != len(self.names):
            mend = ""
            if len(found) > len(self.names):
                mend = f": a cell with {self.delimiter!r} in it stands in quotes"
                if not any(found[len(self.names) :]):
                    mend = f": it ends in {self.delimiter!r}: give the header a name for that cell, or take it away"
            raise ValueError(f"it has {len(found)} cells, the header names {len(self.names)}{mend}")
        cells_of = zip(self.names, found, strict=True)
        return {name: cell or None for name, cell in cells_of if cell or name not in self.unnamed}

    def kinds(self, rows: Sequence[Fields]) -> columns.Columns:
        """The type that all cells can be read as."""
        return cells.looked(rows)

    def values(
        self, texts: Sequence[str | None], wanted: Mapping[str, pa.DataType]
    ) -> dict[str, pa.Array]:
        """Cells read as the wanted types; null where a cell cannot be."""
        rows = [{} if text is None else json.loads(text) for text in texts]
        return {
            name: cells.array([row.get(name) for row in rows], kind)
            for name, kind in wanted.items()
        }

    def own(self, rows: pa.Table) -> pa.Table:
        """The text of all cells: what type a column has is known when all parts have been seen."""
        objects = [{} if text is None else json.loads(text) for text in rows["meta"].to_pylist()]
        columns_ = {name: [one.get(name) for one in objects] for name in self.names}
        return pa.table(
            {
                name: pa.array(column, pa.string())
                for name, column in columns_.items()
                if name not in self.unnamed or any(column)
            }
        )

    def typed(self, own: pa.Table) -> pa.Schema:
        """Each of the type that says all that stands in its cells."""
        return pa.schema([cells.field_of(n, own[n].to_pylist()) for n in own.column_names])


def _reader(texts: Iterable[str], delimiter: str, *, spaced: bool) -> Iterator[list[str]]:
    return csv.reader(texts, delimiter=delimiter, strict=True, skipinitialspace=spaced)


def _cells(text: str, delimiter: str, *, spaced: bool = False) -> list[str]:
    """The cells of one record; ``spaced``: without the blanks before each.

    Raises:
        ValueError: it is none.
    """
    try:
        found = list(_reader(io.StringIO(text, newline=""), delimiter, spaced=spaced))
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise ValueError(OPEN) from None
        raise ValueError(f"{error}{f': {QUOTES}' if 'expected' in str(error) else ''}") from None
    if len(found) != 1:
        raise ValueError(f"it is {len(found)} records in one")
    return found[0]


def _names(text: str, delimiter: str) -> list[str]:
    """The cells of a header, which is one line."""
    try:
        return _cells(text, delimiter)
    except ValueError as error:
        told = "a quote is open at the end of the header: the names of columns stand in one line"
        raise ValueError(told if str(error) == OPEN else f"the header: {error}") from None


def opened(path: str) -> BinaryIO:
    """A file for reading.

    Raises:
        InputError: it is gone.
    """
    try:
        return storage.open_read(path)
    except FileNotFoundError:
        raise InputError(f"`{storage.redact(path)}` is not there any more") from None


def fields_of(record: Record, syntax: Syntax, limit: int) -> Fields:
    """The fields of a record.

    Raises:
        ValueError: it has none; the message says why.
    """
    if record.data is None:
        raise ValueError(LONG.format(size=record.size, limit=limit))
    return syntax.parse(record.data)


def first_rows(path: str, syntax: Syntax, limit: int) -> list[Fields]:
    """The fields of a file's first records that can be read."""
    rows = []
    seen = 0
    with opened(path) as stream:
        for number, record in enumerate(syntax.records(stream, limit)):
            if number >= LOOKED_AT and seen >= syntax.looked_at:
                break
            seen += record.size
            try:
                rows.append(fields_of(record, syntax, limit))
            except ValueError:
                continue
    return rows


def first_fault(path: str, syntax: Syntax, limit: int) -> str | None:
    """The reason why a file's first record cannot be read; None if it can, or there is none."""
    with opened(path) as stream:
        for record in islice(syntax.records(stream, limit), 1):
            try:
                fields_of(record, syntax, limit)
            except ValueError as error:
                return str(error)
    return None
