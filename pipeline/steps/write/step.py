"""The result: shards with the original bytes, their sidecars and statistics, and the uid list of DataComp's tools.

A sample's shard follows from its position among the kept, by sid: shard = position // samples_per_shard. What a step
with ``gaps`` leaves out keeps its position, so that only the shards that held it are written again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.inputs import own_columns
from tamis.pipeline.inputs.formats import Buffer, Sample, format_of
from tamis.pipeline.inputs.input_files import BY_ALIAS, InputFile, Reading
from tamis.pipeline.results import delta, shards, subset
from tamis.pipeline.results.sidecars import Layout
from tamis.pipeline.steps.shared.bucket_counts import buckets_for
from tamis.pipeline.steps.shared.exchange import bucket_of, split
from tamis.pipeline.steps.shared.parts import with_pictures
from tamis.pipeline.steps.write import columns
from tamis.pipeline.steps.write.columns import Piece
from tamis.pipeline.steps.write.config import Write as Config
from tamis.pipeline.steps.write.sidecar import Sidecar
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.parts import Part
from tamis.pipeline.tasks.phase import EachPart, Numbered, Phase, listed
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo, location
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.nearest import nearest
from tamis.schemas.registry import step_class
from tamis.schemas.scope import Scope

SUBSET = "subset.npy"

SUBSET_BUCKET = 50_000_000
"""Uids sorted at once."""


@dataclass(frozen=True)
class Spread:
    """Arguments of ``spread_uids``: how many buckets there are."""

    buckets: int


@dataclass(frozen=True)
class Shard:
    """Arguments of ``write_shard``. ``sources``, ``digests`` and ``paths`` have an item for each file of the input."""

    shard: int
    shards: int  # of the result
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


class Write(Step):
    """``kept`` a part; ``columns`` a part, and ``layout``; ``shards``; ``subset``, of many uids after ``spread`` and
    ``sorted``.
    """

    version = 2
    passing = ("spread", "sorted")

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job
        self._gapped = {step.name for step in job.steps if step.leaves_gaps}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Check that all inputs of tars have pictures, and that there are such columns.

        Raises:
            JobError: names an input that has none, or a column that is neither the input's nor a signal.
        """
        bare = [source for source, has in with_pictures(inputs).items() if not has]
        if bare and self._format(inputs) == "webdataset":
            raise JobError(
                f"{self.name}: {bare[0]} has no pictures to put into tars: set `format: parquet`, or leave it out"
            )

        if self.config.columns != "all":
            known = [*self._signals(), *self._own(inputs), columns.CLUSTER]
            for name in self.config.columns:
                if name not in known:
                    raise JobError(
                        f"{self.name}: columns: neither the input nor a signal is called `{name}`"
                        f"{nearest(name, known)}"
                    )

    def _signals(self) -> Iterator[str]:
        """The signals that the job's other steps make."""
        for config in self.job.steps:
            if not config.is_last:
                for key in step_class(config.kind)(config, self.job).makes():
                    kind, _, name = key.partition(":")
                    if kind == "signal":
                        yield name

    @staticmethod
    def _own(inputs: Sequence[InputFile]) -> Iterator[str]:
        """The columns of the input: those of each entry's first file."""
        firsts = {(file.entry, file.kind): file for file in reversed(inputs)}
        for file in firsts.values():
            yield from format_of(file).columns(file)

    @property
    def _wanted(self) -> Sequence[str] | None:
        return None if self.config.columns == "all" else self.config.columns

    def _format(self, inputs: Sequence[InputFile]) -> str:
        """The job's format; `auto` is tars where any input has pictures."""
        if self.config.format != "auto":
            return self.config.format
        answers = with_pictures(inputs).values()
        return "parquet" if answers and not any(answers) else "webdataset"

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """``kept``, ``shards``, ``subset``; with gaps ``left`` before the last."""
        living: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": self._drops(context, gapped=False),
        }
        yield Phase("kept", kept, EachPart(context.parts, living))
        yield self._columns(context)
        found = {"found": context.done(self.name, "columns").whole()}
        yield listed("layout", columns.join, [Task.whole("columns", found)])
        yield Phase("shards", write_shard, self._shards(context), carries_bytes=True)
        yield from self._subset(context)

    def _drops(self, context: Context, gapped: bool) -> list[ByPart]:
        """The verdicts of steps that leave gaps, or of all others."""
        return [by for step, by in context.verdicts() if (step in self._gapped) is gapped]

    def _tables(self, context: Context) -> dict[str, ByPart]:
        """Tables of signals and of clusters by role, of columns that the result is to have."""
        tables = {f"{columns.SIGNAL}{name}": table for name, table in context.signals()}
        for _, table in context.place_tables():  # the last counts
            tables[columns.PLACE] = table
        wanted = self._wanted
        return {
            role: table
            for role, table in tables.items()
            if wanted is None or columns.column_of(role) in wanted
        }

    def _columns(self, context: Context) -> Phase[columns.Found]:
        """``columns``: those of each part."""
        tables: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "kept": context.at(self.name, "kept"),
            **self._tables(context),
        }
        form = self._format(context.inputs)

        def found(part: Part) -> columns.Found:
            file = context.inputs[part.file]
            return columns.Found(
                (file.entry, file.relative, file.kind, file.size),
                self._wanted,
                form == "parquet" and self.config.pictures,
                file.path,
                _digest(context, part.file, file),
                file.reading.told,
            )

        return Phase("columns", columns.find, EachPart(context.parts, tables, each=found))

    def _subset(self, context: Context) -> Iterator[Phase[Any]]:
        """``subset``; of more uids than are sorted at once ``spread`` and ``sorted`` before it."""
        buckets = buckets_for(context.alive, SUBSET_BUCKET)
        phase = "kept"
        if self._gapped:
            phase = "left"
            both = {"kept": [context.at(self.name, "kept")], "gone": self._drops(context, True)}
            yield Phase("left", left, EachPart(context.parts, both))
        uids = context.done(self.name, phase)
        if buckets > 1:
            by_part = {"kept": context.at(self.name, phase)}
            spread = EachPart(context.parts, by_part, Spread(buckets), buckets=buckets)
            yield Phase("spread", spread_uids, spread)
            done = context.done(self.name, "spread")
            tasks: list[Task[None]] = [
                Task(Scope.BUCKET, b, {"uids": done.groups(b)}) for b in range(buckets)
            ]
            yield listed("sorted", sort_uids, tasks)
            uids = context.done(self.name, "sorted")
        yield listed("subset", write_subset, [Task.whole("uids", {"uids": uids.whole()})])

    def _shards(self, context: Context) -> Numbered[Shard]:
        """A task a shard, with its parts and the span of kept samples of each."""
        size = self.config.samples_per_shard
        gone = self._drops(context, gapped=True)
        kept_of = context.kept() + sum(by.rows for by in gone)
        ends = np.cumsum(kept_of)
        starts, total = ends - kept_of, int(ends[-1])
        count = (total + size - 1) // size
        sizes = [min(size, total - number * size) for number in range(count)]
        chosen, ingest = context.at(self.name, "kept"), context.ingest()
        form = self._format(context.inputs)
        tables = self._tables(context)
        layout = context.done(self.name, "layout").whole()

        def shard(number: int) -> Task[Shard]:
            low = number * size
            ends_at = np.searchsorted(ends, [low, low + sizes[number] - 1], "right")
            span = np.arange(ends_at[0], ends_at[1] + 1)
            taken = span[kept_of[span] > 0]
            of_file = Counter(context.parts[part].file for part in taken)
            files = [context.inputs[file] for file in of_file]
            by_role = {"ingest": ingest, "kept": chosen, **tables}
            # A table under several roles travels once.
            slices = {id(by): [by.of(taken)] for by in by_role.values()}
            inputs = {"layout": layout, **{role: slices[id(by)] for role, by in by_role.items()}}
            if any(
                by.rows[taken].any() for by in gone
            ):  # a shard without gaps does not know of them
                inputs["gone"] = [by.of(taken) for by in gone]
            return Task(
                Scope.SHARD,
                number,
                inputs,
                Shard(
                    number,
                    count,
                    low - int(starts[taken[0]]),
                    sizes[number],
                    [
                        (file.entry, file.relative, file.kind, file.size, parts)
                        for file, parts in zip(files, of_file.values(), strict=True)
                    ],
                    size,
                    form,
                    self._wanted,
                    self.config.json_ == "signals",
                    [_digest(context, number, context.inputs[number]) for number in of_file],
                    paths=[file.path for file in files],
                    readings=[file.reading for file in files]
                    if any(file.reading.told for file in files)
                    else None,
                ),
                rows=sizes[number],
            )

        return Numbered(Scope.SHARD, sizes, shard)


def kept(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(row, uid) of one part's kept samples."""
    uids = io.read("ingest", ["uid"])["uid"].combine_chunks()
    rows = io.alive()
    io.count(kept=len(rows))
    yield pa.table({"row": rows.astype(np.uint32), "uid": uids.take(pa.array(rows))})


def left(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(row, uid) of one part's kept samples that are no gaps."""
    table = io.read("kept")
    gone = io.read("gone", ["row"])["row"]
    yield table.filter(pc.invert(pc.is_in(table["row"], gone.combine_chunks())))


def spread_uids(io: TaskIo[Spread]) -> Iterator[pa.Table]:
    """(uid) of one part's kept samples, a row group a bucket."""
    table = io.read("kept", ["uid"]).combine_chunks()
    buckets = io.args.buckets
    yield from split(table, bucket_of(uid_words(table["uid"])[:, 0], buckets), buckets)


def sort_uids(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(uid) of a bucket, sorted."""
    table = io.read("uids").combine_chunks()
    words = uid_words(table["uid"])
    yield table.take(pa.array(np.lexsort((words[:, 1], words[:, 0]))))


def write_subset(io: TaskIo[None]) -> Iterator[pa.Table]:
    """``subset.npy``: the kept uids, sorted, as DataComp's tools read them; and what changes in it."""
    total = sum(source.rows for source in io.task.inputs["uids"])
    delta.write(io.root, storage.join(io.root, SUBSET), _uids(io, total))
    with io.output(SUBSET) as out:
        subset.write(out, total, _uids(io, total))
    yield io.receipt(SUBSET, total)


def _uids(io: TaskIo[None], total: int) -> Iterator[npt.NDArray[np.uint64]]:
    """All uids, some at a time: a part's of few, of many a bucket's, which is sorted."""
    if total < SUBSET_BUCKET:
        yield uid_words(io.read("uids", ["uid"])["uid"])
    else:
        yield from (uid_words(table["uid"]) for table in io.stream("uids", ["uid"]))


def _digest(context: Context, number: int, file: InputFile) -> str | None:
    """The sha256 of a file whose own columns are read again; None where ingest's table holds them."""
    if format_of(file).values_in_table:
        return None
    return str(context.done("ingest", "files").files.note(number)["sha256"])


def write_shard(io: TaskIo[Shard]) -> Iterator[pa.Table]:
    """One shard: its tar (where there are pictures), its sidecar, and last its statistics."""
    args = io.args
    pieces, positions = zip(*_pieces(io), strict=True)
    layout = columns.read_layout(io, pieces[0].signals.schema)
    name = shards.shard_name(args.shard)
    count = sum(piece.rows.num_rows for piece in pieces)
    keys = [
        shards.shard_key(args.shard, position, args.samples_per_shard)
        for position in np.concatenate(positions).tolist()
    ]
    size = 0
    if args.format == "webdataset":
        with io.output(f"shards/{name}.tar") as out:
            writer = shards.ShardWriter(out)
            samples = (sample for piece in pieces for sample in _samples(piece, layout, args))
            for key, sample in zip(keys, samples, strict=True):
                writer.add(key, sample)
            writer.close()
            size = out.written
        io.receipt(f"shards/{name}.tar", count)
    sidecar = Sidecar(layout, keys, args.format == "webdataset")
    io.publish_groups(f"shards/{name}.parquet", sidecar.groups(pieces))
    with io.output(f"shards/{name}_stats.json") as out:
        out.write(shards.statistics(count, sidecar.successes, size))
    yield io.receipt(f"shards/{name}_stats.json", count)


def _pieces(io: TaskIo[Shard]) -> Iterator[tuple[Piece, npt.NDArray[np.int64]]]:
    """Part by part: the samples that are in this shard, and the position in it of each."""
    roles = [role for role in sorted(io.task.inputs) if columns.is_column(role)]
    signals = [io.stream(role, ["row", columns.column_of(role)]) for role in roles]
    parts = zip(
        io.stream("ingest", columns.COLUMNS),
        io.stream("kept", ["row"]),
        _files(io.args),
        _gone(io),
        strict=True,
    )
    first, before = io.args.first, 0
    for table, kept_rows, file, gone in parts:
        spanned = np.sort(kept_rows["row"].to_numpy())[first : first + io.args.samples - before]
        here = ~np.isin(spanned, gone)
        rows = spanned[here]
        tables = {role: next(stream) for role, stream in zip(roles, signals, strict=True)}
        piece = columns.piece(
            file,
            table.take(pa.array(rows)),
            columns.aligned(tables, rows, table.num_rows),
            io.args.wanted,
        )
        yield piece, before + np.flatnonzero(here)
        first, before = 0, before + len(spanned)


def _gone(io: TaskIo[Shard]) -> Iterator[npt.NDArray[np.uint32]]:
    """The rows of each part that are gaps."""
    count = sum(parts for *_, parts in io.args.sources)
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
    more = own_columns.objects(piece.signals) if args.with_signals else [{}] * len(texts)
    members = format_of(piece.file).members(piece.file, piece.rows)
    for place, (sample, text, signals) in enumerate(zip(members, texts, more, strict=True)):
        named = {layout.names.get(name, name): value for name, value in signals.items()}
        yield [*_members(sample, text, piece, place, named)]


def _members(
    sample: Sample, text: str | None, piece: Piece, place: int, signals: dict[str, Any]
) -> Iterator[tuple[str, Buffer]]:
    suffixes = {suffix for suffix, _ in sample}
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
        fields = json.loads(bytes(data))
    except ValueError:
        return data
    return own_columns.dumped(fields | more) if isinstance(fields, dict) else data
