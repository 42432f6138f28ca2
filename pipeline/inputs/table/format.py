"""Tables in text as input formats: JSON lines and CSV, whose rows may name pictures beside the table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tamis.pipeline.inputs import partitions, picture_paths
from tamis.pipeline.inputs.columns import Columns
from tamis.pipeline.inputs.formats import Format, Outline, Sample, check_same, lacking
from tamis.pipeline.inputs.inner_fields import field_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.json_files import is_list
from tamis.pipeline.inputs.other_formats import named
from tamis.pipeline.inputs.part_builder import FileTotals, IngestOptions, Section, fault
from tamis.pipeline.inputs.picture_formats import SUFFIXES
from tamis.pipeline.inputs.table import headers
from tamis.pipeline.inputs.table.json_faults import RETURNS
from tamis.pipeline.inputs.table.records import lines
from tamis.pipeline.inputs.table.rows import Table, damaged, rows
from tamis.pipeline.inputs.table.syntax import (
    DELIMITERS,
    LIMIT,
    Csv,
    Fields,
    JsonLines,
    JsonList,
    Syntax,
    first_fault,
    first_rows,
    opened,
)
from tamis.pipeline.inputs.unread import advice
from tamis.pipeline.store import storage
from tamis.schemas.ledger import Reason

START_BYTES = 1 << 10
"""Bytes in which the first one that is no blank is looked for, and by which other formats are known."""

TAKEN = ("text", "url", "uid", "key", "width", "height", "sha256")


class TextTable(Format):
    """A row is a record. ``image_offset`` is its first byte, ``group_row`` its length; ``meta`` has its fields."""

    values_in_table = True
    version = 4

    @abstractmethod
    def syntax(self, file: InputFile) -> Syntax:
        """The file's syntax.

        Raises:
            ValueError: it has no header.
        """

    def outline(self, file: InputFile) -> Outline:
        """The columns of the first records."""
        try:
            syntax = self.syntax(file)
        except ValueError as error:
            return Outline(pictures=None, damage=str(error))
        found = first_rows(file.path, syntax, LIMIT)
        if not found:
            return Outline(pictures=None, damage=first_fault(file.path, syntax, LIMIT))
        available = _available(file, syntax, found)
        taken = {name: file.reading.column(name, available) for name in TAKEN}
        if not file.own_uids:
            taken["uid"] = None
        picture = picture_paths.column(file, available)
        named = {name: column for name, column in taken.items() if column is not None}
        if picture is not None:
            named = {"image": picture} | {
                n: c for n, c in named.items() if n not in {"width", "height", "sha256"}
            }
        return Outline(
            pictures=picture is not None,
            taken=named,
            refused=self._refused(file, available, taken, picture),
        )

    @staticmethod
    def _refused(
        file: InputFile,
        available: Sequence[str],
        taken: Mapping[str, str | None],
        picture: str | None,
    ) -> str | None:
        """The reason why no job can read a file of these columns."""
        reading, shown = file.reading, storage.redact(file.path)
        found = {**taken, "image": picture}
        for name, names in reading.columns:
            if names and found.get(name) is None:
                return (
                    f"`{shown}` has no column {' or '.join(names)}; it has {', '.join(available)}"
                )
        if taken["text"] is None and reading.captions != "none":
            return (
                f"`{shown}` has no column for `text`; it has {', '.join(available)}: name it: "
                "`columns: {text: NAME}`, or say `captions: none`"
            )
        return None

    def columns(self, file: InputFile) -> Columns:
        """Those of the first records."""
        try:
            syntax = self.syntax(file)
        except ValueError:
            return {}
        return partitions.known(file, syntax.kinds(first_rows(file.path, syntax, LIMIT)))

    def walk(
        self, file: InputFile, options: IngestOptions, totals: FileTotals
    ) -> Iterator[Section]:
        """A record after the other."""
        try:
            syntax = self.syntax(file)
        except ValueError as error:
            yield Section(1, iter([damaged(file, totals, str(error))]))
            return
        told = self.outline(file)
        if told.refused is None:
            table = Table(file, syntax, told.taken.get("image"), options)
            yield Section(0, rows(table, totals))
            return
        why = fault(lacking(file.reading, told.taken), told.refused, None)
        found = rows(Table(file, syntax, None, options), totals)
        unread = Reason.UNREADABLE_ROW
        yield Section(0, (row if row.get("reason") == unread else row | why for row in found))

    def pictures(self, file: InputFile, rows: pa.Table) -> Iterator[bytes]:
        """The record is read again, then the file that it names."""
        try:
            syntax, column = self.syntax(file), self.outline(file).taken.get("image", "")
        except ValueError:
            raise picture_paths.changed(file) from None
        spans = (rows[name].to_pylist() for name in ("image_offset", "group_row", "sha256"))
        for offset, size, known in zip(*spans, strict=True):
            (record,) = storage.read_blocks(file.path, [(offset, size)])
            try:
                path = field_of(syntax.parse(bytes(record)), column)
            except ValueError:
                raise picture_paths.changed(file) from None
            data = picture_paths.read(file, path)
            check_same(file, [data], [known], picture_paths.shown(path))
            yield data

    def names_pictures(self, file: InputFile) -> bool:
        """Where a column has their paths."""
        return self.outline(file).pictures is True

    def members(self, file: InputFile, rows: pa.Table) -> Iterator[Sample]:
        """The picture's bytes, and the caption as ``txt``."""
        named = zip(rows["image_format"].to_pylist(), rows["text"].to_pylist(), strict=True)
        for data, (form, text) in zip(self.pictures(file, rows), named, strict=True):
            caption = [] if text is None else [("txt", text.encode())]
            yield [(SUFFIXES.get(form, form), data), *caption]

    def values(
        self, file: InputFile, rows: pa.Table, wanted: Mapping[str, pa.DataType]
    ) -> dict[str, pa.Array]:
        """From the table."""
        found = self._syntax_of_rows(file).values(rows["meta"].to_pylist(), wanted)
        return partitions.filled(file, found, wanted)

    def own_schema(self, file: InputFile, rows: pa.Table) -> pa.Schema:
        """All columns, of the type that holds the values of these rows."""
        syntax = self._syntax_of_rows(file)
        own = syntax.own(rows)
        known = {field.name: field for field in syntax.typed(own)}
        return pa.schema([known.get(f.name, f) for f in partitions.added(file, own, None).schema])

    def own(
        self, file: InputFile, rows: pa.Table, names: Collection[str] | None
    ) -> Iterator[pa.Table]:
        """From the table, whose rows a part holds anyway."""
        found = partitions.added(file, self._syntax_of_rows(file).own(rows), names)
        yield found.select([n for n in found.column_names if names is None or n in names])

    def _syntax_of_rows(self, file: InputFile) -> Syntax:
        try:
            return self.syntax(file)
        except ValueError:
            raise picture_paths.changed(file) from None

    def where(self, read: Mapping[str, Any]) -> str | None:
        """The record's number, as a table counts."""
        return f"row {read['file_row']:,}" if "file_row" in read else None


def _check_lines(start: bytes) -> None:
    """Refuse a file whose lines have the ends of old Macs: it would be one row.

    Raises:
        ValueError: says how to write others.
    """
    if b"\n" not in start and b"\r" in start[:-1] and b"\0" not in start and _is_text(start):
        raise ValueError(RETURNS)


def _is_text(start: bytes) -> bool:
    """Whether these are bytes of UTF-8, of which the last character may be cut."""
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(start) - 3
    return True


def _available(file: InputFile, syntax: Syntax, rows: Sequence[Fields]) -> list[str]:
    """The columns of some first rows, fields inside fields too, and what the job names of lists: `images.0`."""
    known = dict.fromkeys(syntax.kinds(rows)) | dict.fromkeys(partitions.captions(file))
    named = (name for _, names in file.reading.columns for name in names)
    there = (n for n in named if any(field_of(row, n) is not None for row in rows))
    return [*(known | dict.fromkeys(there))]


class JsonLinesTable(TextTable):
    """An object a line, or a list of objects."""

    endings = (".jsonl", ".ndjson", ".json")

    def outline(self, file: InputFile) -> Outline:
        """That of its objects; a `.json` that holds one object alone is refused with the mend."""
        told = advice(file.path) if file.path.lower().endswith(".json") else None
        if told is not None:
            return Outline(pictures=None, refused=f"`{storage.redact(file.path)}`: {told}")
        return super().outline(file)

    def syntax(self, file: InputFile) -> Syntax:
        """By the first byte that is no blank."""
        with opened(file.path) as stream:
            start = stream.read(START_BYTES)
        if is_list(start):
            return JsonList()
        _check_lines(start)
        return JsonLines()


class CsvTable(TextTable):
    """Cells below a header."""

    endings = (".csv", ".tsv")

    def outline(self, file: InputFile) -> Outline:
        """That of its records; a table without a header is refused with the command that writes one."""
        try:
            syntax = self.syntax(file)
        except ValueError as error:
            return Outline(pictures=None, damage=str(error))
        told = headers.missing(file.path, syntax.names, syntax.delimiter)
        if told is not None:
            return Outline(pictures=None, refused=f"`{storage.redact(file.path)}`: {told}")
        return super().outline(file)

    def syntax(self, file: InputFile) -> Csv:
        """As the header has it; an empty file has no columns."""
        with opened(file.path) as stream:
            start = stream.read(START_BYTES)
            stream.seek(0)
            header = next(lines(stream, LIMIT), None)
        _check_lines(start)
        if header is None:
            return Csv((), ",")
        if header.data is None and (what := named(start)) is not None:
            raise ValueError(what)
        return Csv.of(header, "\t" if file.path.lower().endswith(".tsv") else DELIMITERS)


JSONL = JsonLinesTable()
CSV = CsvTable()
