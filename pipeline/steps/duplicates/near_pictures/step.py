"""Near-duplicate pictures: perceptual hashes propose, the pictures' layouts and details decide; no model.

Samples with equal pixels are joined first, and the preferred one goes on for all of them. The others meet in
tables, each of which masks some bits of the hash (``algorithms.near_pictures``). Up to HASHES of them are held by each
table's task; more are shared out by what the mask leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms.grouping import leaders
from tamis.pipeline.algorithms.hashing import mix64
from tamis.pipeline.algorithms.near_pictures import hamming, search
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.duplicates import grouping, looking
from tamis.pipeline.steps.duplicates.edges import Rule
from tamis.pipeline.steps.duplicates.edges import edges as edge_table
from tamis.pipeline.steps.duplicates.near_pictures.config import NEAR_PICTURE
from tamis.pipeline.steps.duplicates.near_pictures.config import NearPictures as Config
from tamis.pipeline.steps.duplicates.reading import (
    bucket_phase,
    check_preference,
    living,
    needed,
    preference,
)
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.exchange import bucket_of, range_starts, split
from tamis.pipeline.steps.shared.pictures import check_pictures
from tamis.pipeline.tables.columns import byte_rows, uid_words
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.job import Job
from tamis.schemas.scope import Scope

Ints = npt.NDArray[np.int64]

TASKS = 8
"""Tasks that the tables are dealt out to, where each task holds all hashes."""


@dataclass(frozen=True)
class Hashes:
    """Arguments of ``hashes``."""

    buckets: int
    prefer: str


@dataclass(frozen=True)
class Masks:
    """Arguments of ``distinct``."""

    shares: int  # that the hashes of a table are dealt out to
    masks: Sequence[int]  # by table

    @property
    def buckets(self) -> int:
        """Row groups: one where there is one share, else a share of each table."""
        return 1 if self.shares == 1 else self.shares * len(self.masks)


@dataclass(frozen=True)
class Alike:
    """The measure of likeness of two pictures."""

    hamming: int  # bits
    difference: float


@dataclass(frozen=True)
class Tables(Alike):
    """Arguments of ``similar``."""

    masks: Sequence[int]  # by table
    tables: tuple[int, int]  # the first that the task searches, and where it stops


class NearPictures(Step):
    """``hashes``, ``equal``, ``distinct``, ``similar``; those of ``looking``; then ``groups`` and ``verdict``.

    Tables ``equal`` and ``seen`` hold the edges: pairs of samples, the ``bits`` in which their hashes differ, the
    ``difference`` of their layouts and that of their ``detail``.
    """

    version = 6
    passing = ("hashes", "distinct", "similar", *looking.PASSING)

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.steps = config, config.name, job.steps

    def needs(self) -> Sequence[Product]:
        """The signal that is preferred by, if any."""
        return needed(self.config.preferred_signal)

    def check(self, inputs: Sequence[InputFile]) -> None:
        """There are pictures, and what is preferred by is a number.

        Raises:
            JobError: no input has any, or it is text.
        """
        check_pictures(self.name, inputs)
        check_preference(self.name, self.config.preferred_signal, self.steps, inputs)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class and the module."""
        count = bucket_counts.of_hashes(context.alive)
        spread = Hashes(count, self.config.preference)
        inputs = living(context, self.config.preferred_signal)
        yield Phase("hashes", hashes, EachPart(context.parts, inputs, spread, buckets=count))
        by_hash = context.done(self.name, "hashes")
        yield bucket_phase("equal", equal, count, None, hashes=by_hash)
        samples = by_hash.rows
        masks = [int(mask) for mask in hamming.masks(samples, self.config.hamming)]
        shares = bucket_counts.of_hashes(samples)
        masked = Masks(shares, masks)
        yield bucket_phase("distinct", distinct, count, masked, masked.buckets, hashes=by_hash)
        yield listed("similar", similar, self._tables(context, masked))
        yield from looking.phases(context, self.name, ("similar",), self.config.detail)
        rule = Rule(
            "hamming",
            value="bits",
            bound=self.config.hamming,
            larger=False,
            chain=self.config.group == "chain",
            starts=range_starts(context),
        )
        edges = self.config.edge_phases
        yield from grouping.phases(context, self.name, edges, rule, NEAR_PICTURE)

    def _tables(self, context: Context, masked: Masks) -> list[Task[Tables]]:
        """A task a table and share; or, where a task holds all hashes, a few tables a task."""
        made = context.done(self.name, "distinct")
        count, shares = len(masked.masks), masked.shares
        every = Tables(self.config.hamming, self.config.difference, masked.masks, (0, count))
        if shares == 1:
            bounds = [count * task // TASKS for task in range(TASKS + 1)]
            inputs = {"hashes": made.groups(0)}
            return [
                Task(Scope.BUCKET, first, inputs, replace(every, tables=(first, stop)))
                for first, stop in pairwise(bounds)
                if first < stop
            ]
        return [
            Task(
                Scope.BUCKET,
                table,
                {"hashes": made.groups(table * shares + share)},
                replace(every, tables=(table, table + 1)),
                piece=share,
            )
            for table in range(count)
            for share in range(shares)
        ]


def hashes(io: TaskIo[Hashes]) -> Iterator[pa.Table]:
    """(phash, layout, pixels, sid, uid, preference) of one part's living samples that have a perceptual hash."""
    columns = ["uid", "phash", "layout", "pixels", "width", "height"]
    table = io.read("ingest", columns).combine_chunks()
    rows = io.living_rows()
    rows = rows[table["phash"].is_valid().to_numpy()[rows]]
    table = table.take(pa.array(rows))
    out = pa.table(
        {
            "phash": table["phash"],
            "layout": table["layout"],
            "pixels": uid_words(table["pixels"])[:, 0],
            "sid": sids_of(io.part, rows),
            "uid": table["uid"],
            "preference": preference(io, io.args.prefer, table, rows),
        }
    )
    count = io.args.buckets
    yield from split(out, bucket_of(mix64(table["phash"].to_numpy().copy()), count), count)


def _read(io: TaskIo[Any], alike: Alike | None = None) -> tuple[pa.Table, search.Pictures, Ints]:
    """Samples by their hashes: the table, what they are compared by, and their ranks."""
    table = io.read("hashes").combine_chunks()
    alike = alike or Alike(0, 0.0)
    hashes, layouts = table["phash"].to_numpy(), byte_rows(table["layout"])
    pixels = table["pixels"].to_numpy()
    pictures = search.Pictures(hashes, layouts, alike.hamming, alike.difference, pixels)
    return table, pictures, leaders.ranks(uid_words(table["uid"]), table["preference"].to_numpy())


def equal(io: TaskIo[None]) -> Iterator[pa.Table]:
    """Edges from the preferred sample of each picture to the others that show the same."""
    table, pictures, rank = _read(io)
    a, b = search.nodes(pictures, rank)
    bits, none = np.zeros(len(a), dtype=np.uint8), np.zeros(len(a))
    yield edge_table(table, a, b, same=True, bits=bits, difference=none, detail=none)


def distinct(io: TaskIo[Masks]) -> Iterator[pa.Table]:
    """A sample for each picture; where there are shares, once for every table, by the bits its mask leaves."""
    table, pictures, rank = _read(io)
    chosen = table.take(pa.array(search.firsts_of_nodes(pictures, rank)))
    shares = io.args.shares
    if shares == 1:
        yield chosen
        return
    phash = chosen["phash"].to_numpy()
    for mask in io.args.masks:
        yield from split(chosen, bucket_of(mix64(phash & np.uint64(mask)), shares), shares)


def similar(io: TaskIo[Tables]) -> Iterator[pa.Table]:
    """Edges among distinct pictures that meet in some of the tables, and in none before these."""
    table, pictures, rank = _read(io, io.args)
    masks = np.array(io.args.masks, dtype=np.uint64)
    found = search.tables(pictures, rank, np.arange(len(rank)), masks, range(*io.args.tables))
    io.count(unsearched=found.unsearched)
    yield edge_table(
        table, found.a, found.b, same=False, bits=found.bits, difference=found.difference
    )
