"""The first step of every job: walk each input file once, with a row for each sample and each damage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.order import rows_by
from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.input_files import BY_ALIAS, InputFile, Reading
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.steps.shared import passes
from tamis.pipeline.steps.shared.bucket_counts import BUCKET_ROWS, buckets_for
from tamis.pipeline.steps.shared.exchange import (
    Span,
    bucket_of,
    by_part,
    range_phase,
    range_starts,
    split,
    split_by_range,
)
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tables.sids import part_of, row_of, sids_of
from tamis.pipeline.tasks.parts import Part, Parts
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Numbered, Phase, listed
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo, location
from tamis.schemas.job import Job
from tamis.schemas.ledger import Reason
from tamis.schemas.scope import Scope
from tamis.schemas.tables import INGEST

HELD_ROWS = 3 * BUCKET_ROWS
"""Rows of a bucket of uids that are held at once, of 25 bytes each, and twice as much to sort them."""


@dataclass(frozen=True)
class Walked:
    """Arguments of ``walk``."""

    entry: str
    relative: str
    kind: str
    size: int  # bytes
    stamp: str  # makes a file that is written again be read again, at the same size too
    part_samples: int
    max_pixels: int
    max_member_bytes: int
    own_uids: bool
    path: str = location()
    empty_captions: bool | None = None  # True where they are kept
    reading: Reading | None = None
    version: int | None = None  # of the format


@dataclass(frozen=True)
class Spread:
    """Arguments of ``uids``: how many buckets there are."""

    buckets: int


@dataclass(frozen=True)
class Starts:
    """The first sid of each range."""

    starts: Sequence[int]


@dataclass(frozen=True)
class Source:
    """Arguments of ``sources``: a part's input file by name, and the samples of it that stand before the part."""

    source: str
    first: int


@dataclass(frozen=True)
class Repeated:
    """Arguments of ``repeats``."""

    parts: Span


class Ingest(Step):
    """``files``: one task an input file, whose table has a row group for each part; then the verdict on each part.

    Between them ``uids`` and ``unique`` look for repeated uids. Only where there are any, ``repeats`` brings back to
    each part the samples that it must drop for them.
    """

    name = "ingest"
    version = 5
    passing = ("uids", "sources")

    def __init__(self, job: Job) -> None:
        self.job = job

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """Walk the files; then drop samples that cannot be used."""
        files = context.inputs
        walks = Numbered(
            Scope.FILE,
            [0] * len(files),
            lambda number: Task(Scope.FILE, number, {}, self._walked(files[number])),
        )
        yield Phase("files", walk, walks, by_sample=True, by_section=True, carries_bytes=True)
        buckets, rows = buckets_for(context.total), {"ingest": context.ingest()}
        spread = EachPart(context.parts, rows, Spread(buckets), buckets=buckets)
        yield Phase("uids", uids, spread)
        uid_files = context.done("ingest", "uids")
        starts = Starts(range_starts(context))
        checks = [
            Task(Scope.BUCKET, b, {"uids": uid_files.groups(b)}, starts) for b in range(buckets)
        ]
        yield listed("unique", unique, checks, buckets=len(starts.starts))
        repeated = context.done("ingest", "unique")
        if repeated.total("repeated"):
            yield Phase("sources", sources, EachPart(context.parts, {}, each=_source(context)))
            every = {"sources": context.done("ingest", "sources").whole()}
            yield range_phase(
                context, "repeats", repeats, {"found": repeated}, Repeated, shared=every
            )
            rows["repeats"] = context.at("ingest", "repeats")
        yield Phase(VERDICT, decide, EachPart(context.parts, rows))

    def _walked(self, file: InputFile) -> Walked:
        limits = self.job.limits
        return Walked(
            file.entry,
            file.relative,
            file.kind,
            file.size,
            file.stamp,
            self.job.part_samples,
            limits.max_pixels,
            limits.max_member_bytes,
            file.own_uids,
            path=file.path,
            empty_captions=True if limits.empty_captions == "keep" else None,
            reading=file.reading.told,
            version=format_of(file).version,
        )


def _source(context: Context) -> Callable[[Part], Source]:
    """The row of a part in ``sources``. A file's parts are numbered in its order."""
    firsts = _firsts(context.parts)
    return lambda part: Source(context.inputs[part.file].source, int(firsts[part.number]))


def _firsts(parts: Parts) -> npt.NDArray[np.int64]:
    """By part: count of samples of its file before it."""
    order = np.lexsort((parts.group, parts.file))
    rows, file = parts.rows[order], parts.file[order]
    before = np.cumsum(rows) - rows
    starts = np.searchsorted(file, file)
    firsts = np.empty(len(parts), np.int64)
    firsts[order] = before - before[starts]
    return firsts


def walk(io: TaskIo[Walked]) -> Iterator[pa.Table]:
    """One input file -> its INGEST table, a row group a part."""
    args = io.args
    file = InputFile(
        args.entry,
        args.relative,
        args.path,
        args.kind,
        args.size,
        own_uids=args.own_uids,
        reading=args.reading or BY_ALIAS,
    )
    options = IngestOptions(
        args.part_samples,
        args.max_pixels,
        args.max_member_bytes,
        empty_captions=bool(args.empty_captions),
        span=io.span,
        culprits=frozenset(io.culprits.tolist()),
        sections=io.attempt.sections,
        closed=frozenset(io.attempt.closed),
    )
    tables = ingest_file(file, options)
    empty = True
    for table in tables:
        empty = False
        yield table
    if empty:
        yield INGEST.empty_table()
    io.notes |= {"sha256": tables.totals.sha256.hex(), "bytes": tables.totals.size}


def uids(io: TaskIo[Spread]) -> Iterator[pa.Table]:
    """(uid, sid, usable) of one part, a row group a bucket."""
    table = io.read("ingest", ["uid", "reason"]).combine_chunks()
    column = table["uid"].combine_chunks()
    sid = sids_of(io.part, np.arange(len(column)))
    buckets = io.args.buckets
    bucket = bucket_of(uid_words(column)[:, 0], buckets)
    usable = pc.is_null(table["reason"])
    yield from split(pa.table({"uid": column, "sid": sid, "usable": usable}), bucket, buckets)


def unique(io: TaskIo[Starts]) -> Iterator[pa.Table]:
    """(sid, stays) of the samples of a bucket to drop for a repeated uid, a row group a range; the notes count them.

    Of the samples with one uid the first that can be used stays; where none can, the first.
    """
    if passes.rows_of(io, "uids") > HELD_ROWS:
        yield from _unique_in_passes(io)
        return
    table = io.read("uids").combine_chunks()
    sid, stays = repeated_uids(
        uid_words(table["uid"]), table["sid"].to_numpy(), np.asarray(table["usable"])
    )
    io.count(repeated=len(sid))
    yield from split_by_range(pa.table({"sid": sid, "stays": stays}), io.args.starts)


def _unique_in_passes(io: TaskIo[Starts]) -> Iterator[pa.Table]:
    """The same of a bucket that is too large: who stays in one pass, the others in a second."""
    staying = passes.folded(_batches(io), _stays)
    assert staying is not None, "the bucket has rows"

    def repeated() -> Iterator[tuple[int, pa.Table]]:
        for table in _batches(io):
            at = pc.index_in(table["uid"], value_set=staying["uid"]).combine_chunks()
            stays = staying["sid"].combine_chunks().take(at).to_numpy()
            sid = table["sid"].to_numpy()
            again = sid != stays
            io.count(repeated=int(again.sum()))
            yield int(sid[0]), pa.table({"sid": sid[again], "stays": stays[again]})

    yield from passes.ranges_in_turn(repeated(), io.args.starts)


def _batches(io: TaskIo[Starts]) -> Iterator[pa.Table]:
    return passes.batches(io, "uids", -(-HELD_ROWS // 3))


def _stays(table: pa.Table) -> npt.NDArray[np.int64]:
    """The rows that stay, one for each uid."""
    uid, sid = uid_words(table["uid"]), table["sid"].to_numpy()
    order = rows_by(uid[:, 0], uid[:, 1], ~np.asarray(table["usable"]), sid)
    return order[~_same_as_before(uid[order])]


def repeated_uids(
    uid: npt.NDArray[np.uint64], sid: npt.NDArray[np.int64], usable: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sids of the samples to drop for a repeated uid, and, aligned, of the samples that stay.

    Args:
        uid: uint64 (n, 2).
        sid: int64 (n,), unique.
        usable: bool (n,).
    """
    order = rows_by(uid[:, 0], uid[:, 1], ~usable, sid)
    again = _same_as_before(uid[order])
    order = order[again | np.roll(again, -1)]  # usually empty
    again = _same_as_before(uid[order])
    stays = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
    return sid[order[again]], sid[order[stays[again]]]


def _same_as_before(uid: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """(n,) bool: True where a sorted uid equals the one before it."""
    same = np.zeros(len(uid), dtype=bool)
    same[1:] = (uid[1:] == uid[:-1]).all(axis=1)
    return same


def sources(io: TaskIo[Source]) -> Iterator[pa.Table]:
    """(source, first) of one part, a row: what a message says of a sample beside its row."""
    yield pa.table({"source": [io.args.source], "first": [io.args.first]})


def repeats(io: TaskIo[Repeated]) -> Iterator[pa.Table]:
    """(row, message) of the samples of each part to drop for a repeated uid."""
    found = io.read("found")
    named = _sources_of(io, np.unique(part_of(found["stays"].to_numpy())))
    for table in by_part(found, io.args.parts):
        messages = [
            f"the uid names sample {named[part_of(sid)].first + row_of(sid):,} of {named[part_of(sid)].source} "
            "(counted from 0)"
            for sid in table["stays"].to_pylist()
        ]
        yield pa.table({"row": table["row"], "message": pa.array(messages, pa.string())})


def _sources_of(io: TaskIo[Repeated], parts: npt.NDArray[np.int64]) -> dict[int, Source]:
    """The rows of some parts in ``sources``: a row a part, in their order."""
    named: dict[int, Source] = {}
    first = 0
    for piece in io.slices("sources"):
        wanted = parts[(parts >= first) & (parts < first + piece.rows)]
        if len(wanted):
            rows = part_files.read(io.root, piece).take(pa.array(wanted - first)).to_pylist()
            named |= {int(part): Source(**row) for part, row in zip(wanted, rows, strict=True)}
        first += piece.rows
    return named


def decide(io: TaskIo[None]) -> Iterator[pa.Table]:
    """The rows of one part that cannot be used or repeat a uid; a repeated uid stands first in the message."""
    table = io.read("ingest", ["reason", "message"])
    bad = np.flatnonzero(pc.is_valid(table["reason"]))
    faults = table.take(bad)
    pairs = zip(faults["reason"].to_pylist(), faults["message"].to_pylist(), strict=True)
    by_row = dict(zip(bad.tolist(), pairs, strict=True))
    if "repeats" in io.task.inputs:
        repeated = io.read("repeats")
        for row, message in zip(
            *(repeated[name].to_pylist() for name in ("row", "message")), strict=True
        ):
            own = "; nor can this one be used, {}: {}".format(*by_row[row]) if row in by_row else ""
            by_row[row] = (str(Reason.REPEATED_UID), message + own)
    rows = np.array(sorted(by_row), dtype=np.int64)
    reasons, messages = ([by_row[row][i] for row in rows.tolist()] for i in (0, 1))
    yield drops(io, rows, reasons, message=pa.array(messages, pa.string()))
