"""The work of the semantic-duplicates step, phase by phase: each function makes one part file.

A bucket of clusters that fits in memory is compared at once. A larger one is first laid out on storage, its members
in their order, in blocks of BLOCK_ROWS: then each task reads the blocks that it compares, a few tiles at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms.clusters import semantic
from tamis.pipeline.algorithms.grouping import leaders
from tamis.pipeline.steps.concepts import clustering
from tamis.pipeline.steps.duplicates.reading import signal_values
from tamis.pipeline.steps.shared.exchange import Span as PartSpan
from tamis.pipeline.steps.shared.exchange import by_part, split, split_by_range
from tamis.pipeline.tables import columns, part_files
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.tables import UID

Ints = npt.NDArray[np.int64]

BLOCK_ROWS = 8192
"""Embeddings of a row group of a laid-out bucket: 8 MiB at 512 dimensions."""


@dataclass(frozen=True)
class Members:
    """Arguments of ``members``."""

    clusters: int
    buckets: int
    signal: str | None  # that is preferred by


@dataclass(frozen=True)
class Order:
    """Arguments of ``order``, which sorts the members of each cluster."""

    which: Literal["hard", "easy", "random", "preference"]
    seed: int


@dataclass(frozen=True)
class Blocks:
    """Arguments of ``blocks``."""

    dim: int
    places: tuple[int, int]  # the first position in the bucket's order, and where it stops


@dataclass(frozen=True, kw_only=True)
class Whole(Order):
    """Arguments of ``pairs`` for a whole bucket, in memory."""

    starts: Sequence[int]  # the first sid of each range
    device: str | None


class Span(NamedTuple):
    """Positions of one cluster, to be compared with those before them in it."""

    base: int  # the cluster's first position in its bucket
    size: int
    start: int
    stop: int

    @property
    def pairs(self) -> float:
        """Number of pairs that are compared."""
        return (self.stop - self.start) * (self.stop + self.start) / 2


@dataclass(frozen=True)
class Spans:
    """Arguments of ``pairs`` for a piece of a bucket that is laid out on storage."""

    dim: int
    offset: int  # the first block that the task reads, counted in the bucket
    spans: Sequence[Span]
    starts: Sequence[int]  # the first sid of each range
    device: str | None


@dataclass(frozen=True)
class Scores:
    """Arguments of ``scores``."""

    parts: PartSpan
    signal: str


@dataclass(frozen=True)
class Doomed:
    """Arguments of ``doomed``."""

    epsilon: float
    starts: Sequence[int]  # the first sid of each range


def members(io: TaskIo[Members]) -> Iterator[pa.Table]:
    """(sid, uid, cluster, distance, preference, vector) of one part's living samples; neighbours share a bucket."""
    uids = io.read("ingest", ["uid"])["uid"].combine_chunks()
    assigned = io.read("assigned").combine_chunks()
    embedded = io.read("embedding", ["row", "image"]).combine_chunks()
    living = io.living_mask()[assigned["row"].to_numpy()]
    assigned = assigned.filter(pa.array(living))
    row = assigned["row"].to_numpy()
    at = np.searchsorted(embedded["row"].to_numpy(), row)
    number, signal = assigned["cluster"].to_numpy(), io.args.signal
    table = pa.table(
        {
            "sid": sids_of(io.part, row),
            "uid": uids.take(pa.array(row)),
            "cluster": number,
            "distance": np.float32(1) - assigned["similarity"].to_numpy(),
            "preference": signal_values(io, signal, row) if signal else np.zeros(len(row)),
            "vector": embedded["image"].combine_chunks().take(pa.array(at)),
        }
    )
    buckets = io.args.buckets
    yield from split(table, number.astype(np.int64) * buckets // io.args.clusters, buckets)


def pairs(io: TaskIo[Whole | Spans]) -> Iterator[pa.Table]:
    """(sid, uid, similarity, partner_sid, partner): each sample's nearest among those before it in its cluster."""
    args, device = io.args, clustering.device(io)
    table = _of_spans(io, args, device) if isinstance(args, Spans) else _of_whole(io, args, device)
    yield from split_by_range(table, args.starts)


def _of_whole(io: TaskIo[Any], args: Whole, device: str | None) -> pa.Table:
    """The pairs of one bucket, in memory."""
    table = io.read("members").combine_chunks()
    vector = columns.vectors(table["vector"])
    similarity = np.zeros(table.num_rows, dtype=np.float32)
    partner = np.arange(table.num_rows)
    for rows in _ordered(table, args):

        def fetch(first: int, last: int, rows: Ints = rows) -> columns.Float16s:
            return vector[rows[first:last]]

        compared = semantic.max_similarity_blocks(fetch, len(rows), vector.shape[1], device=device)
        for start, values, positions in compared:
            here = rows[start : start + len(values)]
            similarity[here], partner[here] = values, rows[positions]
    return _compared(table, np.arange(table.num_rows), similarity, partner)


def _ordered(table: pa.Table, args: Order) -> Iterator[Ints]:
    """The rows of each cluster, in the order that decides who is before whom."""
    number, uid = table["cluster"].to_numpy(), uid_words(table["uid"])
    distance, preference = table["distance"].to_numpy(), table["preference"].to_numpy()
    by_cluster = np.argsort(number, kind="stable")
    ends = np.flatnonzero(np.diff(number[by_cluster], append=-1)) + 1
    for rows in np.split(by_cluster, ends[:-1]) if len(number) else []:
        if args.which == "preference":
            yield rows[np.argsort(leaders.ranks(uid[rows], preference[rows]))]
        else:
            yield rows[semantic.order_in_cluster(distance[rows], uid[rows], args.which, args.seed)]


def _compared(
    table: pa.Table, rows: Ints, similarity: npt.NDArray[np.float32], partner: Ints
) -> pa.Table:
    """``rows`` of a table with sid and uid, and what they are most alike to."""
    who, picks = table.select(["sid", "uid"]).take(pa.array(rows)), pa.array(partner)
    return pa.table(
        {
            "sid": who["sid"],
            "uid": who["uid"],
            "similarity": similarity,
            "partner_sid": table["sid"].take(picks),
            "partner": table["uid"].take(picks),
        }
    )


def order(io: TaskIo[Order]) -> Iterator[pa.Table]:
    """(sid, uid) of a bucket that is too large for memory, cluster by cluster in order; notes the clusters' sizes."""
    table = io.read("members", ["sid", "uid", "cluster", "distance", "preference"]).combine_chunks()
    clusters = list(_ordered(table, io.args))
    io.notes["sizes"] = [len(rows) for rows in clusters]
    yield table.select(["sid", "uid"]).take(pa.array(np.concatenate(clusters)))


def blocks(io: TaskIo[Blocks]) -> Iterator[pa.Table]:
    """Embeddings of some positions of that order, BLOCK_ROWS a row group. Holds these, and one part's at a time."""
    sid = io.read("order", ["sid"])["sid"].to_numpy()
    by_sid = np.argsort(sid)
    ordered = sid[by_sid]
    first, stop = io.args.places
    embeddings = np.zeros((stop - first, io.args.dim), dtype=np.float16)
    for piece in io.stream("members", ["sid", "vector"]):
        position = by_sid[np.searchsorted(ordered, piece["sid"].to_numpy())] - first
        here = np.flatnonzero((position >= 0) & (position < stop - first))
        embeddings[position[here]] = columns.vectors(piece["vector"])[here]
    for start in range(0, len(embeddings), BLOCK_ROWS):
        yield pa.table({"vector": columns.vector_column(embeddings[start : start + BLOCK_ROWS])})


def _of_spans(io: TaskIo[Any], args: Spans, device: str | None) -> pa.Table:
    """The pairs of some spans of a laid-out bucket: blocks are read as the tiles ask for them."""
    table = io.read("order").combine_chunks()
    pieces = list(io.slices("blocks"))

    @lru_cache(maxsize=2)
    def block(number: int) -> columns.Float16s:
        vector = part_files.read(io.root, pieces[number - args.offset], ["vector"])["vector"]
        return columns.vectors(vector)

    nearest: list[tuple[Ints, npt.NDArray[np.float32], Ints]] = []
    for base, size, start, stop in args.spans:

        def fetch(first: int, last: int, base: int = base) -> columns.Float16s:
            return _embeddings(block, base + first, base + last)

        compared = semantic.max_similarity_blocks(fetch, size, args.dim, 1, start, stop, device)
        for first, values, partner in compared:
            nearest.append((np.arange(first, first + len(values)) + base, values, partner + base))
    rows, similarity, partner = (np.concatenate(column) for column in zip(*nearest, strict=True))
    return _compared(table, rows, similarity, partner)


def _embeddings(
    block: Callable[[int], columns.Float16s], first: int, last: int
) -> columns.Float16s:
    """Embeddings of the positions ``first`` to ``last`` of a bucket's order."""
    numbers = range(first // BLOCK_ROWS, -(-last // BLOCK_ROWS))
    parts = [block(n)[max(first - n * BLOCK_ROWS, 0) : last - n * BLOCK_ROWS] for n in numbers]
    return np.concatenate(parts)


def scores(io: TaskIo[Scores]) -> Iterator[pa.Table]:
    """(row, similarity under the signal's name, partner) a part, for every sample that was compared."""
    table = io.read("pairs", ["sid", "similarity", "partner"])
    named = table.rename_columns(["sid", io.args.signal, "partner"])
    yield from by_part(named, io.args.parts)


def doomed(io: TaskIo[Doomed]) -> Iterator[pa.Table]:
    """The dropped samples of one bucket, each with its partner, and the first kept sample in its chain of partners."""
    table = io.read("pairs").combine_chunks()
    dropped = semantic.dropped(table["similarity"].to_numpy(), io.args.epsilon)
    sid = table["sid"].to_numpy()
    order = np.argsort(sid)
    partner = order[np.searchsorted(sid[order], table["partner_sid"].to_numpy())]
    survivor = pa.array(end_of_chain(partner, dropped)[dropped])
    mask = pa.array(dropped)
    value = table["similarity"].filter(mask).cast(pa.float64())
    out = pa.table(
        {
            "sid": table["sid"].filter(mask),
            "rule": pa.array(["epsilon"] * len(value), pa.string()),
            "value": value,
            "bound": np.full(len(value), 1.0 - io.args.epsilon),
            "partner": table["partner"].filter(mask),
            "partner_value": value,
            "survivor": table["uid"].take(survivor).cast(UID),
        }
    )
    yield from split_by_range(out, io.args.starts)


def end_of_chain(
    partner: npt.NDArray[np.int64], dropped: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """(n,) for each row the first that is kept on its way from partner to partner; a kept row is its own.

    A partner stands earlier in the order, so every way ends; doubling the step makes it end in log2(n) rounds.
    """
    step = np.where(dropped, partner, np.arange(len(partner)))
    while True:
        further = step[step]
        if np.array_equal(further, step):
            return step
        step = further
