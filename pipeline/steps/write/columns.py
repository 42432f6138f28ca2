"""The columns of the result: found part by part and joined, and their values for the samples of a shard."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.inputs import json_rows, own_columns, own_types
from tamis.pipeline.inputs.formats import MEMBER_COLUMNS, VALUE_COLUMNS, Sample, format_of
from tamis.pipeline.inputs.input_files import BY_ALIAS, InputFile, Reading
from tamis.pipeline.results import sidecars
from tamis.pipeline.results.sidecars import Layout
from tamis.pipeline.tables.columns import scatter
from tamis.pipeline.tasks.task import TaskIo, location
from tamis.schemas.errors import JobError

SIGNAL, PLACE = "signal:", "place"
"""Roles of the tables of signals, and of the last clusters."""

CLUSTER = "cluster"

OURS = ["uid", "key", "url", "text", "width", "height", "sha256"]
"""Columns of ingest's table from which ours are made."""

OURS_OF_TARS = ""
"""Stands for a column of pictures where the input has its pictures in no column."""

COLUMNS = list(dict.fromkeys([*OURS, *MEMBER_COLUMNS, *VALUE_COLUMNS]))
"""Columns of ingest's table that a shard needs."""


@dataclass(frozen=True)
class Found:
    """Arguments of ``find``: a part's file, and what the result takes of it."""

    source: tuple[str, str, str, int]  # entry, relative name, kind, bytes
    wanted: Sequence[str] | None  # columns of the input; None: all
    pictures: bool  # whether a column of pictures is one of them
    path: str = location()
    sha256: str | None = None  # of a file whose own columns are read
    reading: Reading | None = None


PIECE_BYTES = 32 << 20
"""Bytes of the input's own columns from which a piece ends."""


@dataclass(frozen=True)
class Piece:
    """Samples of one part in a shard: all of them, or some in turn where the input's own columns are large.

    Attributes:
        file: the input file.
        keys: in the shard.
        rows: of ingest's table, with COLUMNS.
        own: the input's columns, typed as in the file; once ``fitted`` as in the result.
        ours: our columns but for the key, by our names.
        signals: those of them that are signals.
        members: of the part's samples, from this piece's first one on; each is taken once, by whoever writes them.
        pictures: the same of the bytes of their pictures.
    """

    file: InputFile
    keys: Sequence[str]
    rows: pa.Table
    own: pa.Table
    ours: pa.Table
    signals: pa.Table
    members: Iterator[Sample]
    pictures: Iterator[bytes]

    def slice(self, first: int, stop: int) -> Piece:
        """Some of its samples, in turn."""
        tables = (self.rows, self.own, self.ours, self.signals)
        rows, own, ours, signals = (table.slice(first, stop - first) for table in tables)
        return replace(
            self, keys=self.keys[first:stop], rows=rows, own=own, ours=ours, signals=signals
        )

    def fitted(self, own: pa.Schema) -> Piece:
        """The piece with the input's columns as the result has them."""
        told = json_rows.retold(self.own, self.rows, own)
        return replace(self, own=own_columns.fitted(told, own))

    @cached_property
    def objects(self) -> list[dict[str, Any]]:
        """The input's own columns as JSON objects, for samples that come without one."""
        return own_columns.objects(self.own)


def find(io: TaskIo[Found]) -> Iterator[pa.Table]:
    """(schema, picture, differ) of one part that has kept samples, a row: the input's columns, the name of the one that
    holds pictures (OURS_OF_TARS: none of them), and the names that ours and the input's share without saying the same.
    """
    kept = np.sort(io.read("kept", ["row"])["row"].to_numpy())
    found: dict[str, list[object]] = {"schema": [], "picture": [], "differ": []}
    if len(kept):
        entry, relative, kind, size = io.args.source
        reading = io.args.reading or BY_ALIAS
        file = InputFile(entry, relative, io.args.path, kind, size, reading=reading)
        rows = io.read("ingest", COLUMNS).take(pa.array(kept))
        form = format_of(file)
        own = _wanted(form.own_schema(file, rows), io.args.wanted)
        ours = _ours(file, rows, _signals(io, kept, io.rows))
        shared = set(own.names) & set(ours.column_names)
        differ, start = set[str](), 0
        # Beside text of ours the input's text counts, which a column of numbers would not have.
        typed = pa.schema([f for f in own if f.name in shared and not _is_text(ours, f.name)])
        for table in form.own(file, rows, shared):
            read = own_columns.fitted(table.select(typed.names), typed)
            raw = table.drop_columns(typed.names)
            for part in (read, raw):
                differ |= sidecars.differing(part, ours.slice(start, table.num_rows))
            start += table.num_rows
        # Where another part has such a column of its own, these samples have null there.
        differ |= {n for n in set(ours.column_names) - shared if ours[n].null_count < len(kept)}
        pictures = io.args.pictures and has_pictures(rows)
        picture = form.picture_field(file) if pictures else None
        if picture is not None:
            own = own_types.union([pa.schema([picture]), own])  # the order of its struct
        found = {
            "schema": [own.serialize().to_pybytes()],
            "picture": [
                picture.name if picture is not None else OURS_OF_TARS if pictures else None
            ],
            "differ": [sorted(differ)],
        }
    types = [("schema", pa.binary()), ("picture", pa.string()), ("differ", pa.list_(pa.string()))]
    yield pa.table(found, schema=pa.schema(types))


def join(io: TaskIo[None]) -> Iterator[pa.Table]:
    """The columns found in all parts, as one row like those of ``find``; ``picture`` is a list."""
    schemas: dict[bytes, None] = {}
    differ: set[str] = set()
    pictures: dict[str, None] = {}
    for table in io.stream("found"):
        schemas |= dict.fromkeys(table["schema"].to_pylist())
        differ.update(name for names in table["differ"].to_pylist() for name in names)
        pictures |= dict.fromkeys(table["picture"].drop_null().to_pylist())
    own = own_types.union(_parsed(schema) for schema in schemas)
    for name in filter(None, pictures):
        kind = own.field(name).type
        if pa.types.is_string(kind):
            raise JobError(
                f"{io.step}: {name} holds pictures as bytes in one input and as a struct in another: "
                "write them by two jobs, or set `pictures: false`"
            )
    yield pa.table(
        {
            "schema": pa.array([_bare(own).serialize().to_pybytes()], pa.binary()),
            "picture": pa.array([list(pictures)], pa.list_(pa.string())),
            "differ": pa.array([sorted(differ)], pa.list_(pa.string())),
        }
    )


def _bare(schema: pa.Schema) -> pa.Schema:
    """Without marks: the result is of these types."""
    return pa.schema([field.remove_metadata() for field in schema])


def _parsed(schema: bytes) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(schema))


def read_layout(io: TaskIo[Any], signals: pa.Schema) -> Layout:
    """The layout that ``join`` found, with the signals behind our other columns."""
    (found,) = io.read("layout").to_pylist()
    pictures = set(found["picture"])
    ours = [*sidecars.SIDECAR, *(f.with_name(sidecars.of_signal(f.name)) for f in signals)]
    # Where another input has a column of pictures of that name, those of tars go into it too.
    if OURS_OF_TARS in pictures and sidecars.PICTURE not in pictures:
        ours.append(pa.field(sidecars.PICTURE, sidecars.PICTURE_TYPE))
    return sidecars.layout(
        _parsed(found["schema"]), pa.schema(ours), found["differ"], pictures - {OURS_OF_TARS}
    )


def _wanted(schema: pa.Schema, wanted: Collection[str] | None) -> pa.Schema:
    return schema if wanted is None else pa.schema([f for f in schema if f.name in wanted])


def pieces(
    file: InputFile,
    keys: Sequence[str],
    rows: pa.Table,
    signals: pa.Table,
    wanted: Sequence[str] | None,
) -> Iterator[Piece]:
    """The samples of a part in a shard, by their rows of ingest's table, with COLUMNS, and their signals."""
    form, start = format_of(file), 0
    ours = _ours(file, rows, signals)
    members, pictures = form.members(file, rows), form.pictures(file, rows)
    for own in gathered(form.own(file, rows, wanted), PIECE_BYTES):
        stop = start + own.num_rows
        mine = (table.slice(start, own.num_rows) for table in (rows, ours, signals))
        of_rows, of_ours, of_signals = mine
        yield Piece(file, keys[start:stop], of_rows, own, of_ours, of_signals, members, pictures)
        start = stop
    assert start == rows.num_rows, f"{file.source}: {start} rows of {rows.num_rows}"


def gathered(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """The tables, joined until so many bytes are together."""
    held: list[pa.Table] = []
    together = 0
    for table in tables:
        held.append(table)
        together += table.nbytes
        if together >= size:
            yield _joined(held)
            held, together = [], 0
    if held:
        yield _joined(held)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of several; without columns it has their rows all the same."""
    if tables[0].num_columns:
        return pa.concat_tables(tables)
    return pa.table({"": pa.nulls(sum(table.num_rows for table in tables))}).select([])


def _is_text(table: pa.Table, name: str) -> bool:
    kind = table.schema.field(name).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _signals(io: TaskIo[Found], kept: npt.NDArray[np.int64], rows: int) -> pa.Table:
    """The signals of a part's kept samples, and their clusters."""
    tables = {
        role: io.read(role, ["row", column_of(role)]) for role in io.task.inputs if is_column(role)
    }
    return aligned(tables, kept, rows)


def is_column(role: str) -> bool:
    """Whether the tables under a role have a column of the result."""
    return role.startswith(SIGNAL) or role == PLACE


def column_of(role: str) -> str:
    """The column that is read under a role."""
    return CLUSTER if role == PLACE else role.removeprefix(SIGNAL)


def aligned(tables: dict[str, pa.Table], kept: npt.NDArray[np.int64], rows: int) -> pa.Table:
    """A column for each role's table, with a value for each kept row of a part that has ``rows``."""
    arrays = {}
    for role in sorted(tables):
        name = column_of(role)
        arrays[name] = scatter(tables[role], rows)[name].take(pa.array(kept))
    return pa.table(arrays) if arrays else pa.table({"": pa.nulls(len(kept))}).select([])


def _ours(file: InputFile, rows: pa.Table, signals: pa.Table) -> pa.Table:
    """Our columns but for the key."""

    def digits(name: str) -> list[str | None]:
        return [None if value is None else value.hex() for value in rows[name].to_pylist()]

    count = rows.num_rows
    columns = {
        "url": rows["url"],
        "caption": rows["text"],
        "width": rows["width"],
        "height": rows["height"],
        "original_width": rows["width"],
        "original_height": rows["height"],
        "sha256": pa.array(digits("sha256"), pa.string()),
        "uid": pa.array(digits("uid"), pa.string()),
        "source": pa.array([file.source] * count, pa.string()),
        "source_key": rows["key"],
        **{sidecars.of_signal(name): signals[name] for name in signals.column_names},
    }
    return pa.table(columns)


def has_pictures(rows: pa.Table) -> bool:
    """Whether the samples of a piece come with pictures."""
    return bool(rows.num_rows) and rows["image_size"].null_count < rows.num_rows
