"""A shard: its tar with the original bytes, its sidecar and its statistics."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.host import at_work
from tamis.pipeline.inputs import json_text, own_columns, own_values
from tamis.pipeline.inputs.formats import Buffer, Sample
from tamis.pipeline.inputs.input_files import BY_ALIAS, InputFile, Reading
from tamis.pipeline.inputs.suffixes import UID
from tamis.pipeline.inputs.uids import parse_uid
from tamis.pipeline.results import shards, sidecars
from tamis.pipeline.results.shards import ShardWriter
from tamis.pipeline.results.sidecars import Layout
from tamis.pipeline.steps.write import columns
from tamis.pipeline.steps.write.columns import Piece
from tamis.pipeline.steps.write.sidecar import Sidecar
from tamis.pipeline.tasks.task import TaskIo, location


@dataclass(frozen=True)
class Shard:
    """Arguments of ``write_shard``. ``sources``, ``digests`` and ``paths`` have an item for each file of the input."""

    shard: int
    first: int  # the kept samples of the first part that are in the shard before
    samples: int
    sources: Sequence[tuple[str, str, str, int, int]]  # entry, relative name, kind, bytes, parts
    samples_per_shard: int
    format: str
    wanted: Sequence[str] | None  # columns of the input; None: all
    with_signals: bool  # in json members
    digests: Sequence[str | None]  # of files whose own columns are read
    paths: Sequence[str] = location()
    readings: Sequence[Reading] | None = None  # by file; None where the job says nothing
    tier: str | None = None  # whose shard it is


def write_shard(io: TaskIo[Shard]) -> Iterator[pa.Table]:
    """One shard: its tar (where there are pictures), its sidecar, and last its statistics."""
    args, pieces = io.args, _pieces(io)
    first = next(pieces)
    layout = columns.read_layout(io, first.signals.schema)
    pieces = (piece.fitted(layout.own) for piece in chain([first], pieces))
    name, size = shards.shard_name(args.shard, args.tier), 0
    sidecar = Sidecar(layout, args.format == "webdataset")
    if args.format == "webdataset":
        # Both files at once, piece by piece: no shard is held, and no column of the input read twice.
        with io.output(f"shards/{name}.tar") as out:
            writer = ShardWriter(out)
            groups = sidecar.groups(_written(pieces, layout, args, writer))
            io.publish_groups(f"shards/{name}.parquet", groups)
            writer.close()
            size = out.written
        io.receipt(f"shards/{name}.tar", sidecar.rows)
    else:
        io.publish_groups(f"shards/{name}.parquet", sidecar.groups(pieces))
    with io.output(f"shards/{name}_stats.json") as out:
        out.write(shards.statistics(sidecar.rows, sidecar.successes, size))
    yield io.receipt(f"shards/{name}_stats.json", sidecar.rows)


def _written(
    pieces: Iterable[Piece], layout: Layout, args: Shard, writer: ShardWriter
) -> Iterator[Piece]:
    """The pieces, each once its samples are in the tar."""
    for piece in pieces:
        for key, sample in zip(piece.keys, _samples(piece, layout, args), strict=True):
            writer.add(key, sample)
            at_work.advance(1)
        yield piece


def _pieces(io: TaskIo[Shard]) -> Iterator[Piece]:
    """The samples that are in this shard, part by part."""
    args = io.args
    roles = [role for role in sorted(io.task.inputs) if columns.is_column(role)]
    signals = [io.stream(role, ["row", columns.column_of(role)]) for role in roles]
    count = sum(parts for *_, parts in args.sources)
    parts = zip(
        io.stream("ingest", columns.COLUMNS),
        placed(io, args.first, args.samples, count),
        _files(args),
        strict=True,
    )
    for table, (rows, positions), file in parts:
        tables = {role: next(stream) for role, stream in zip(roles, signals, strict=True)}
        keys = [
            shards.shard_key(args.shard, position, args.samples_per_shard, args.tier)
            for position in positions.tolist()
        ]
        yield from columns.pieces(
            file,
            keys,
            table.take(pa.array(rows)),
            columns.aligned(tables, rows, table.num_rows),
            args.wanted,
        )


def placed(
    io: TaskIo[Any], first: int, samples: int, parts: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Part by part: the rows of the samples that are in a shard, ascending, and the position in it of each.

    Args:
        io: with the roles `kept` and, where the shard has gaps, `gone`.
        first: kept samples of the first part that are in the shard before.
        samples: of the shard, gaps among them.
        parts: that the shard has samples of.
    """
    before = 0
    for kept_rows, gone in zip(io.stream("kept", ["row"]), _gone(io, parts), strict=True):
        spanned = np.sort(kept_rows["row"].to_numpy())[first : first + samples - before]
        here = ~np.isin(spanned, gone)
        yield spanned[here].astype(np.int64), before + np.flatnonzero(here)
        first, before = 0, before + len(spanned)


def _gone(io: TaskIo[Any], count: int) -> Iterator[npt.NDArray[np.uint32]]:
    """The rows of each of ``count`` parts that are gaps."""
    tables = list(io.stream("gone", ["row"])) if "gone" in io.task.inputs else []
    for part in range(count):
        of_steps = [table["row"].to_numpy() for table in tables[part::count]]
        yield np.concatenate([np.zeros(0, np.uint32), *of_steps])


def _files(args: Shard) -> Iterator[InputFile]:
    """The input file of each part."""
    readings = args.readings or [BY_ALIAS] * len(args.paths)
    for (entry, relative, kind, size, parts), path, reading in zip(
        args.sources, args.paths, readings, strict=True
    ):
        yield from repeat(InputFile(entry, relative, path, kind, size, reading=reading), parts)


def _samples(piece: Piece, layout: Layout, args: Shard) -> Iterator[Sample]:
    """The members of each sample: the input's own, and a caption and columns that came otherwise."""
    texts = piece.rows["text"].to_pylist()
    more: Sequence[dict[str, Any]] = [{}] * len(texts)
    if args.with_signals:
        more = [_named(signals, layout) for signals in own_columns.objects(piece.signals)]
    members = with_uids(piece)
    for place, (sample, text, signals) in enumerate(zip(members, texts, more, strict=True)):
        suffixes = {suffix for suffix, _ in sample}
        if not signals and "json" in suffixes and ("txt" in suffixes or text is None):
            yield sample
        else:
            yield [*_members(sample, suffixes, text, piece, place, signals)]


def with_uids(piece: Piece) -> Iterator[Sample]:
    """The members of each sample; with one of its uid where a reader of the result would find another."""
    uids = piece.rows["uid"].to_pylist()
    has_own = _has_own_uids(piece)
    members = islice(piece.members, len(uids))
    for sample, uid, told in zip(members, uids, _told_uids(piece), strict=True):
        if told == uid or (told is None and not has_own):
            yield sample
        else:
            others = [(suffix, data) for suffix, data in sample if suffix != UID]
            yield [*others, (UID, uid.hex().encode())]


def _has_own_uids(piece: Piece) -> bool:
    """Whether samples of the file have uids of the input's own."""
    reading, names = piece.file.reading, piece.own.column_names
    named = reading.names("uid") or reading.column("uid", names)
    return piece.file.own_uids and bool(named)


def _told_uids(piece: Piece) -> Iterator[bytes | str | None]:
    """What a reader takes for the uid of each sample by its json, which has no bytes; as text where it is no uid."""
    column = BY_ALIAS.column("uid", piece.own.column_names)
    values: list[Any] = [None] * piece.rows.num_rows
    if column is not None:
        values = own_values.values(piece.own[column].combine_chunks())
    for value in values:
        try:
            yield None if isinstance(value, bytes) else parse_uid(value)
        except ValueError:
            yield str(value)


def _named(signals: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """The signals of a sample under their names in the result."""
    ours = {sidecars.of_signal(name): value for name, value in signals.items()}
    return {layout.names.get(name, name): value for name, value in ours.items()}


def _members(
    sample: Sample,
    suffixes: Collection[str],
    text: str | None,
    piece: Piece,
    place: int,
    signals: dict[str, Any],
) -> Iterator[tuple[str, Buffer]]:
    for suffix, data in sample:
        yield suffix, _extended(data, signals) if suffix == "json" and signals else data
    if "txt" not in suffixes and text is not None:
        yield "txt", text.encode()
    if "json" not in suffixes:
        own = piece.objects[place]
        if own or signals:
            yield "json", own_columns.dumped(own | signals)


def _extended(data: Buffer, more: dict[str, Any]) -> Buffer:
    """A json member with more fields; as it is where it is no JSON object."""
    try:
        fields = json_text.loaded(bytes(data).decode("utf-8-sig"))
    except ValueError:
        return data
    return own_columns.dumped(fields | more) if isinstance(fields, dict) else data
