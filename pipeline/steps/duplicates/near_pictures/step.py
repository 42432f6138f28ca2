"""Near-duplicate pictures by perceptual hash: within a number of bits, nobody missed, no model needed.

Equal hashes are joined first, and one sample goes on for all of them. Distinct ones meet in tables, each of which
masks some bits (``algorithms.hamming``). Up to HASHES of them are held by each table's task; more are shared
out by what the mask leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.grouping import buckets
from tamis.pipeline.algorithms.hashing import mix64
from tamis.pipeline.algorithms.near_pictures import hamming
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.duplicates import grouping
from tamis.pipeline.steps.duplicates.near_pictures.config import NEAR_PICTURE
from tamis.pipeline.steps.duplicates.near_pictures.config import NearPictures as Config
from tamis.pipeline.steps.duplicates.reading import bucket_phase, living
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.exchange import bucket_of, range_starts, split
from tamis.pipeline.steps.shared.parts import area, check_pictures
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.job import Job
from tamis.schemas.scope import Scope

TASKS = 8
"""Tasks that the tables are dealt out to, where each task holds all hashes."""


@dataclass(frozen=True)
class Hashes:
    """Arguments of ``hashes``."""

    buckets: int


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
class Tables:
    """Arguments of ``similar``."""

    hamming: int  # bits
    masks: Sequence[int]  # by table
    tables: tuple[int, int]  # the first that the task searches, and where it stops


class NearPictures(Step):
    """``hashes``, ``equal``, ``distinct``, ``similar``; then ``groups`` and ``verdict``.

    Tables ``equal`` and ``similar`` hold the edges: pairs of samples and the ``bits`` in which they differ.
    """

    version = 2

    def __init__(self, config: Config, job: Job) -> None:
        del job
        self.config, self.name = config, config.name

    def check(self, inputs: Sequence[InputFile]) -> None:
        """There are pictures.

        Raises:
            JobError: no input has any.
        """
        check_pictures(self.name, inputs)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class and the module."""
        count = bucket_counts.of_hashes(context.alive)
        tasks = EachPart(context.parts, living(context), Hashes(count), buckets=count)
        yield Phase("hashes", hashes, tasks)
        by_hash = context.done(self.name, "hashes")
        yield bucket_phase("equal", equal, count, None, hashes=by_hash)
        samples = by_hash.rows
        masks = [int(mask) for mask in hamming.masks(samples, self.config.hamming)]
        shares = bucket_counts.of_hashes(samples)
        masked = Masks(shares, masks)
        yield bucket_phase("distinct", distinct, count, masked, masked.buckets, hashes=by_hash)
        yield listed("similar", similar, self._tables(context, masked))
        rule = grouping.Rule(
            "hamming",
            value="bits",
            bound=self.config.hamming,
            larger=False,
            prefer=self.config.prefer,
            starts=range_starts(context),
        )
        yield from grouping.phases(context, self.name, rule, NEAR_PICTURE)

    def _tables(self, context: Context, masked: Masks) -> list[Task[Tables]]:
        """A task a table and share; or, where a task holds all hashes, a few tables a task."""
        made = context.done(self.name, "distinct")
        count, shares = len(masked.masks), masked.shares
        every = Tables(self.config.hamming, masked.masks, (0, count))
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
    """(phash, sid, uid, size) of one part's living samples that have a perceptual hash."""
    table = io.read("ingest", ["uid", "phash", "width", "height"]).combine_chunks()
    rows = io.alive()
    rows = rows[table["phash"].is_valid().to_numpy()[rows]]
    table = table.take(pa.array(rows))
    out = pa.table(
        {
            "phash": table["phash"],
            "sid": (np.int64(io.part) << 32) | rows,
            "uid": table["uid"],
            "size": area(table),
        }
    )
    count = io.args.buckets
    yield from split(out, bucket_of(mix64(table["phash"].to_numpy().copy()), count), count)


def equal(io: TaskIo[None]) -> Iterator[pa.Table]:
    """Edges from the sample with the smallest uid of each hash to the others with it."""
    table = io.read("hashes").combine_chunks()
    rank = buckets.uid_rank(uid_words(table["uid"]))
    same = buckets.group(np.arange(len(rank)), rank, table["phash"].to_numpy())
    centre, other = buckets.stars(same)
    yield grouping.edges(table, centre, other, bits=np.zeros(len(centre), dtype=np.uint8))


def distinct(io: TaskIo[Masks]) -> Iterator[pa.Table]:
    """One sample for each hash; where there are shares, once for every table, by the bits that its mask leaves."""
    table = io.read("hashes").combine_chunks()
    rank = buckets.uid_rank(uid_words(table["uid"]))
    chosen = table.take(pa.array(buckets.firsts(rank, table["phash"].to_numpy())))
    shares = io.args.shares
    if shares == 1:
        yield chosen
        return
    phash = chosen["phash"].to_numpy()
    for mask in io.args.masks:
        yield from split(chosen, bucket_of(mix64(phash & np.uint64(mask)), shares), shares)


def similar(io: TaskIo[Tables]) -> Iterator[pa.Table]:
    """Edges among distinct hashes that meet in some of the tables, and in none before these."""
    table = io.read("hashes").combine_chunks()
    rank = buckets.uid_rank(uid_words(table["uid"]))
    phash, members = table["phash"].to_numpy(), np.arange(len(rank))
    masks = np.array(io.args.masks, dtype=np.uint64)
    pairs = [
        hamming.table_pairs(phash, rank, members, masks, number, io.args.hamming)
        for number in range(*io.args.tables)
    ]
    a, b, bits = (np.concatenate(column) for column in zip(*pairs, strict=True))
    swap = rank[a] > rank[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    _, order = np.unique(rank[a] * len(rank) + rank[b], return_index=True)
    yield grouping.edges(table, a[order], b[order], bits=bits[order])
