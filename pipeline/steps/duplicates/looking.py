"""A second look at the pairs whose layouts are alike: their pictures are opened again, and small cells compared.

Pairs of the same pixels need none. The others are dealt out to buckets, which say which samples they want; these are
sorted by part, each part opens its pictures that are wanted, and their details go to the buckets. What a part has
opened stays, so that another run over some more samples opens theirs alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.hashing import mix64
from tamis.pipeline.algorithms.near_pictures import details as algorithm
from tamis.pipeline.inputs.formats import PICTURE_COLUMNS
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.duplicates.edges import Mask, both_ends
from tamis.pipeline.steps.duplicates.reading import bucket_phase
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.details import details_of
from tamis.pipeline.steps.shared.exchange import (
    Span,
    bucket_of,
    by_part,
    range_phase,
    range_starts,
    split,
    split_by_range,
)
from tamis.pipeline.tables.columns import PACKED, byte_rows
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks.parts import BUNDLE, Part
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import WANTED, Task, TaskIo, location
from tamis.schemas.scope import Scope

PASSING = ("proposed", "ends", WANTED, "shown")
"""The phases whose tables the later ones alone read."""

DETAIL = pa.binary(algorithm.BYTES)

TOGETHER = 80_000
"""Samples whose details one task deals out, about: they are some hundred MB where most are wanted."""


@dataclass(frozen=True)
class Proposed:
    """Arguments of ``proposed``."""

    buckets: int


@dataclass(frozen=True)
class Ends:
    """Arguments of ``ends``."""

    starts: Sequence[int]  # the first sid of each range


@dataclass(frozen=True)
class Wanted:
    """Arguments of ``wanted``."""

    parts: Span


@dataclass(frozen=True)
class Opened:
    """Arguments of ``details``."""

    max_pixels: int
    kind: str  # of the input file
    file: InputFile = location()


@dataclass(frozen=True)
class Shown:
    """Arguments of ``shown``."""

    buckets: int


@dataclass(frozen=True)
class Seen:
    """Arguments of ``seen``."""

    bound: float | None
    unsearched: int  # by the phase that found the pairs; the first task says it


def phases(
    context: Context, step: str, pairs: Sequence[str], bound: float | None
) -> Iterator[Phase[Any]]:
    """From the pairs of the phases ``pairs`` to those of ``seen``, whose pictures differ by ``bound`` in no detail."""
    found = [context.done(step, phase) for phase in pairs]
    unsearched = sum(done.total("unsearched") for done in found)
    files = [[done.files.file(number).slice()] for done in found for number in range(len(done))]
    if bound is None:
        copies = [
            Task(Scope.BUCKET, i, {"edges": file}, Seen(None, 0 if i else unsearched))
            for i, file in enumerate(files)
        ]
        yield listed("seen", seen, copies)
        return
    count = bucket_counts.of_pairs(sum(done.rows - done.total("same") for done in found))
    dealt = Proposed(count)
    tasks = [Task(Scope.BUCKET, i, {"edges": file}, dealt) for i, file in enumerate(files)]
    yield listed("proposed", proposed, tasks, buckets=count)
    dealt_out = context.done(step, "proposed")
    starts = range_starts(context)
    yield bucket_phase("ends", ends, count, Ends(starts), len(starts), edges=dealt_out)
    roles = {"ends": context.done(step, "ends")}
    yield range_phase(context, WANTED, wanted, roles, Wanted)
    yield from _opened(context, step, count)
    shown_to = context.done(step, "shown")
    sources = {"edges": dealt_out, "shown": shown_to}
    looks = [
        Task(
            Scope.BUCKET,
            bucket,
            {role: done.groups(bucket) for role, done in sources.items()},
            Seen(bound, 0 if bucket else unsearched),
        )
        for bucket in range(count)
    ]
    yield listed("seen", seen, looks)


def _opened(context: Context, step: str, buckets: int) -> Iterator[Phase[Any]]:
    """``details`` of the wanted pictures, and ``shown``, which deals them out."""
    chosen = context.at(step, WANTED)

    def opened(part: Part) -> Opened:
        file = context.inputs[part.file]
        return Opened(context.job.limits.max_pixels, file.kind, file)

    inputs = {"ingest": context.ingest(), WANTED: chosen}
    tasks = EachPart(context.parts, inputs, each=opened, bundle=1)
    yield Phase("details", details, tasks, per_row=True, rows_from=WANTED, cheap=True)
    made = {"details": context.at(step, "details"), WANTED: chosen}
    dealing = EachPart(
        context.parts, made, Shown(buckets), buckets=buckets, bundle=_bundle(context)
    )
    yield Phase("shown", shown, dealing)


def _bundle(context: Context) -> int:
    """The parts whose details one task deals out, a power of two."""
    parts = max(1, TOGETHER * len(context.parts) // max(1, context.total))
    return min(BUNDLE, 1 << (parts.bit_length() - 1))


def proposed(io: TaskIo[Proposed]) -> Iterator[pa.Table]:
    """The pairs, by bucket."""
    edges = io.read("edges").combine_chunks()
    a, b = (edges[f"sid_{end}"].to_numpy().astype(np.uint64) for end in "ab")
    home = bucket_of(mix64(mix64(a) ^ b), io.args.buckets)
    yield from split(edges, home, io.args.buckets)


def ends(io: TaskIo[Ends]) -> Iterator[pa.Table]:
    """(sid, look) of the samples of one bucket's pairs that are not the same, by range; ``look`` is the bucket."""
    edges = io.read("edges", ["sid_a", "sid_b", "same"])
    edges = edges.filter(pc.invert(edges["same"])).combine_chunks()
    sid = np.unique(both_ends(edges, "sid").to_numpy())
    out = pa.table({"sid": sid, "look": np.full(len(sid), io.task.number, np.int32)})
    yield from split_by_range(out, io.args.starts)


def wanted(io: TaskIo[Wanted]) -> Iterator[pa.Table]:
    """(row, look) of each part of a range."""
    yield from by_part(io.read("ends").combine_chunks(), io.args.parts)


def details(io: TaskIo[Opened]) -> Iterator[pa.Table]:
    """(row, detail) of one part's wanted samples.

    Raises:
        InputError: a picture is damaged that ingest could read.
    """
    rows = io.living_rows()
    table = io.read("ingest", PICTURE_COLUMNS).take(pa.array(rows))
    found = details_of(io.args.file, table, io.args.max_pixels)
    yield _with_details("row", rows.astype(np.uint32), pa.array(found, DETAIL))


def _with_details(name: str, rows: npt.NDArray[Any], found: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Details beside what they are of, in a column that is compressed."""
    number = pa.array(rows)
    fields = [pa.field(name, number.type), pa.field("detail", DETAIL, metadata=PACKED)]
    return pa.table([number, found], schema=pa.schema(fields))


def shown(io: TaskIo[Shown]) -> Iterator[pa.Table]:
    """(sid, detail) of one part's samples, by the buckets that want them."""
    made, asked = io.read("details").combine_chunks(), io.read(WANTED).combine_chunks()
    row = asked["row"].to_numpy()
    at = np.searchsorted(made["row"].to_numpy(), row)
    sid = sids_of(io.part, row.astype(np.int64))
    out = _with_details("sid", sid, made["detail"].take(pa.array(at)))
    yield from split(out, asked["look"].to_numpy().astype(np.int64), io.args.buckets)


def seen(io: TaskIo[Seen]) -> Iterator[pa.Table]:
    """The pairs of one bucket that differ in no detail, with the difference; all of them where none is compared."""
    edges = io.read("edges").combine_chunks()
    io.count(unsearched=io.args.unsearched)
    if io.args.bound is None:
        yield edges.append_column("detail", pa.array(np.zeros(edges.num_rows)))
        return
    pictures = io.read("shown").combine_chunks()
    sid = pictures["sid"].to_numpy()
    order = np.argsort(sid)
    others = np.flatnonzero(~edges["same"].to_numpy())
    a, b = (
        order[np.searchsorted(sid[order], edges[f"sid_{end}"].to_numpy()[others])] for end in "ab"
    )
    difference = np.zeros(edges.num_rows)
    difference[others] = algorithm.difference(byte_rows(pictures["detail"]), a, b)
    near: Mask = difference <= io.args.bound
    yield edges.append_column("detail", pa.array(difference)).filter(pa.array(near))
