"""Near-duplicate pictures by perceptual hash: within a number of bits, nobody missed, no model needed.

Equal hashes are joined first, and one sample goes on for all of them. Distinct ones meet in tables, each of which
masks some bits (``algorithms.hamming``). Up to HASHES of them are held by each table's task; more are shared
out by what the mask leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.grouping import buckets
from tamis.pipeline.algorithms.hashing import mix64
from tamis.pipeline.algorithms.near_pictures import hamming
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.duplicates import grouping
from tamis.pipeline.steps.duplicates.near_pictures.config import NEAR_PICTURE
from tamis.pipeline.steps.duplicates.near_pictures.config import NearPictures as Config
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.exchange import bucket_of, split, verdict_phase
from tamis.pipeline.steps.shared.parts import area, check_pictures, part_task
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Phase, Task, TaskIo
from tamis.schemas.job import Job

TASKS = 8
"""Tasks that the tables are dealt out to, where each task holds all hashes."""


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

    def phases(self, context: Context) -> Iterator[Phase]:
        """See the class and the module."""
        count = bucket_counts.of_hashes(context.alive)
        tasks = [
            part_task(
                part,
                {"ingest": [context.ingest(part)], "drops": context.drops(part)},
                part=part.number,
            )
            for part in context.parts
        ]
        yield Phase("hashes", hashes, tasks, {"buckets": count})
        made = context.done(self.name, "hashes")
        own = [Task(f"bucket-{b:05d}", {"hashes": made.groups(b)}) for b in range(count)]
        yield Phase("equal", equal, own)
        there = sum(piece.rows for piece in made.whole())
        masks = [int(mask) for mask in hamming.masks(there, self.config.hamming)]
        shares = bucket_counts.of_hashes(there)
        yield Phase("distinct", distinct, own, {"shares": shares, "masks": masks})
        settings = {"hamming": self.config.hamming, "masks": masks}
        yield Phase("similar", similar, self._tables(context, len(masks), shares), settings)
        edges = [
            *context.done(self.name, "equal").whole(),
            *context.done(self.name, "similar").whole(),
        ]
        rule = grouping.Rule("hamming", "bits", self.config.hamming, larger=False)
        yield from grouping.phases(context, self.name, edges, rule, self.config.prefer)
        yield verdict_phase(context, context.done(self.name, "groups"), NEAR_PICTURE)

    def _tables(self, context: Context, tables: int, shares: int) -> list[Task]:
        """A task a table and share; or, where a task holds all hashes, a few tables a task."""
        held = context.done(self.name, "distinct")
        if shares == 1:
            bounds = [tables * task // TASKS for task in range(TASKS + 1)]
            dealt = [(a, b) for a, b in pairwise(bounds) if a < b]
            return [
                Task(f"tables-{a:05d}", {"hashes": held.groups(0)}, {"tables": [a, b]})
                for a, b in dealt
            ]
        return [
            Task(
                f"table-{table:05d}-{share:05d}",
                {"hashes": held.groups(table * shares + share)},
                {"tables": [table, table + 1]},
            )
            for table in range(tables)
            for share in range(shares)
        ]


def hashes(io: TaskIo) -> Iterator[pa.Table]:
    """(phash, sid, uid, size) of one part's living samples that have a perceptual hash."""
    table = io.read("ingest", ["uid", "phash", "width", "height"]).combine_chunks()
    rows = io.alive(table.num_rows)
    rows = rows[table["phash"].is_valid().to_numpy()[rows]]
    table = table.take(pa.array(rows))
    out = pa.table(
        {
            "phash": table["phash"],
            "sid": (np.int64(io.args["part"]) << 32) | rows,
            "uid": table["uid"],
            "size": area(table),
        }
    )
    count = io.args["buckets"]
    yield from split(out, bucket_of(mix64(table["phash"].to_numpy().copy()), count), count)


def equal(io: TaskIo) -> Iterator[pa.Table]:
    """Edges from the sample with the smallest uid of each hash to the others with it."""
    table = io.read("hashes").combine_chunks()
    rank = buckets.uid_rank(uid_words(table["uid"]))
    found = buckets.group(np.arange(len(rank)), rank, table["phash"].to_numpy())
    centre, other = buckets.stars(found)
    yield grouping.edges(table, centre, other, bits=np.zeros(len(centre), dtype=np.uint8))


def distinct(io: TaskIo) -> Iterator[pa.Table]:
    """One sample for each hash; where there are shares, once for every table, by what the mask leaves."""
    table = io.read("hashes").combine_chunks()
    rank = buckets.uid_rank(uid_words(table["uid"]))
    chosen = table.take(pa.array(buckets.firsts(rank, table["phash"].to_numpy())))
    shares = io.args["shares"]
    if shares == 1:
        yield chosen
        return
    held = chosen["phash"].to_numpy()
    for mask in io.args["masks"]:
        yield from split(chosen, bucket_of(mix64(held & np.uint64(mask)), shares), shares)


def similar(io: TaskIo) -> Iterator[pa.Table]:
    """Edges among distinct hashes that some of the tables bring together first."""
    table = io.read("hashes").combine_chunks()
    rank = buckets.uid_rank(uid_words(table["uid"]))
    held, members = table["phash"].to_numpy(), np.arange(len(rank))
    masks = np.array(io.args["masks"], dtype=np.uint64)
    found = [
        hamming.table_pairs(held, rank, members, masks, number, io.args["hamming"])
        for number in range(*io.args["tables"])
    ]
    a, b, bits = (np.concatenate(part) for part in zip(*found, strict=True))
    swap = rank[a] > rank[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    _, order = np.unique(rank[a] * len(rank) + rank[b], return_index=True)
    yield grouping.edges(table, a[order], b[order], bits=bits[order])
