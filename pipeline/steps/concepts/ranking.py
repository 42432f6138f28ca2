"""Each sample's exact rank in its concept, for concepts of any size: an exchange by (cluster, key, uid).

The bounds between buckets come from a sample of the keys, so that a large concept spans several buckets. A bucket ranks
its own rows; the phase ``places`` then adds the rows of the bucket's first cluster that lie in earlier buckets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import ranks
from tamis.pipeline.steps.concepts.concepts import sample_bound
from tamis.pipeline.steps.shared.bucket_counts import buckets_for
from tamis.pipeline.steps.shared.exchange import (
    Span,
    by_part,
    range_phase,
    range_starts,
    split,
    split_by_range,
)
from tamis.pipeline.tables.columns import scatter, uid_words
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.sources import ByPart, Source
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.scope import Scope

PASSING = ("drawn", "members", "ranked")
"""Phases that only ``places`` reads, or one before it."""

KEY = "key"
"""The column of a table ``assign`` whose groups are no concepts: what its samples are ranked by, for distances."""

SAMPLES_PER_BUCKET = 1000
"""Sampled keys for each bucket: the sizes of buckets then differ by about a tenth at most."""


@dataclass(frozen=True)
class Keying:
    """Arguments that determine a sample's key."""

    which: ranks.Which
    seed: int


@dataclass(frozen=True)
class Draw(Keying):
    """Arguments of ``drawn``."""

    below: int  # the bound that hashes stay below


@dataclass(frozen=True)
class Spread(Keying):
    """Arguments of ``members``."""

    buckets: int


@dataclass(frozen=True)
class Buckets:
    """Arguments of ``cuts``."""

    buckets: int


@dataclass(frozen=True)
class Starts:
    """Arguments of ``ranked``."""

    starts: Sequence[int]  # the first sid of each range


@dataclass(frozen=True)
class Range:
    """Arguments of ``places``."""

    parts: Span
    before: Sequence[tuple[int, int]]  # by bucket, see ``before``


AnyKeying = TypeVar("AnyKeying", bound=Keying)


def phases(context: Context, step: str, which: ranks.Which) -> Iterator[Phase[Any]]:
    """``members``, ``ranked`` and ``places``; with more samples than one bucket holds also ``drawn`` and ``cuts``."""
    buckets, seed = buckets_for(context.alive), context.job.seed
    inputs = living_inputs(context, step)
    bounds: dict[str, Sequence[Source]] = {}
    if buckets > 1:
        below = sample_bound(min(context.alive, SAMPLES_PER_BUCKET * buckets), context.alive)
        draw = Draw(which, seed, below)
        yield Phase("drawn", drawn, EachPart(context.parts, inputs, draw, buckets=1))
        every = {"drawn": context.done(step, "drawn").whole()}
        yield listed("cuts", cuts, [Task.whole("cuts", every, Buckets(buckets))])
        bounds = {"cuts": context.done(step, "cuts").whole()}
    spread = Spread(which, seed, buckets)
    tasks = EachPart(context.parts, inputs, spread, shared=bounds, buckets=buckets)
    yield Phase("members", members, tasks)
    by_bucket, starts = context.done(step, "members"), Starts(range_starts(context))
    shares = [
        Task(Scope.BUCKET, b, {"members": by_bucket.groups(b)}, starts) for b in range(buckets)
    ]
    yield listed("ranked", ranked, shares, buckets=len(starts.starts))
    yield _places(context, step)


def _places(context: Context, step: str) -> Phase[Range]:
    done = context.done(step, "ranked")
    counts = before(done)
    assigned = {"assigned": [context.at(step, "assign")]}
    return range_phase(
        context,
        "places",
        places,
        {"ranked": done},
        lambda parts: Range(parts, counts),
        assigned,
    )


def living_inputs(context: Context, step: str) -> dict[str, ByPart | Sequence[ByPart]]:
    """Inputs of a task that uses the assignments of living samples."""
    return {
        "assigned": context.at(step, "assign"),
        "ingest": context.ingest(),
        "drops": context.drops(),
    }


def living(io: TaskIo[Any], columns: Sequence[str] | None = None) -> pa.Table:
    """The assignments of one part's living samples."""
    assigned = io.read("assigned", columns)
    alive = io.living_mask()[assigned["row"].to_numpy()]
    return assigned.filter(pa.array(alive)).combine_chunks()


def distances(assigned: pa.Table) -> npt.NDArray[np.float32]:
    """(n,) float32, 1 - similarity."""
    similarity: npt.NDArray[np.float32] = assigned["similarity"].to_numpy()
    return np.float32(1) - similarity


def _distances_or_none(assigned: pa.Table) -> npt.NDArray[np.float32] | pa.Array:
    """``distances``, or nulls for groups that are no concepts."""
    if KEY in assigned.column_names:
        return pa.nulls(assigned.num_rows, pa.float32())
    return distances(assigned)


def _keyed(io: TaskIo[AnyKeying]) -> pa.Table:
    """(sid, uid, cluster, key) of one part's living samples."""
    assigned = living(io)
    row = assigned["row"].to_numpy()
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(pa.array(row))
    if KEY in assigned.column_names:
        key = assigned[KEY].to_numpy()
    else:
        key = ranks.keys(distances(assigned), uid_words(uid), io.args.which, io.args.seed)
    sid = sids_of(io.part, row)
    return pa.table({"sid": sid, "uid": uid, "cluster": assigned["cluster"], "key": key})


def drawn(io: TaskIo[Draw]) -> Iterator[pa.Table]:
    """(cluster, key, uid) of the living samples of one part whose hash is below the bound."""
    table = _keyed(io).drop_columns(["sid"])
    hashes = order.hashed(uid_words(table["uid"]), io.args.seed, "ranking")
    yield table.filter(pa.array(hashes < np.uint64(io.args.below)))


def cuts(io: TaskIo[Buckets]) -> Iterator[pa.Table]:
    """(cluster, key, high) of the end of each bucket but the last; ``high`` is the first half of a uid."""
    table = io.read("drawn").combine_chunks()
    cluster, key = table["cluster"].to_numpy(), table["key"].to_numpy()
    high = uid_words(table["uid"])[:, 0]
    arranged = np.lexsort((high, key, cluster))
    buckets = io.args.buckets
    last = arranged[np.arange(1, buckets) * len(arranged) // buckets]
    yield pa.table({"cluster": cluster[last], "key": key[last], "high": high[last]})


def members(io: TaskIo[Spread]) -> Iterator[pa.Table]:
    """(sid, uid, cluster, key) of one part's living samples, a row group a bucket."""
    table = _keyed(io)
    bucket = np.zeros(table.num_rows, dtype=np.int64)
    if io.args.buckets > 1:
        cluster, key = table["cluster"].to_numpy(), table["key"].to_numpy()
        high = uid_words(table["uid"])[:, 0]
        bounds = io.read("cuts")
        triples = zip(*(bounds[name].to_numpy() for name in bounds.column_names), strict=True)
        for a, b, c in triples:
            same = (cluster == a) & ((key > b) | ((key == b) & (high > c)))
            bucket += (cluster > a) | same
    yield from split(table, bucket, io.args.buckets)


def ranked(io: TaskIo[Starts]) -> Iterator[pa.Table]:
    """(sid, cluster, rank) of one bucket. The notes count its rows of its first and of its last cluster."""
    table = io.read("members").combine_chunks()
    cluster = table["cluster"].to_numpy()
    rank = ranks.within(cluster, table["key"].to_numpy(), uid_words(table["uid"]))
    if len(cluster):
        ends = (int(cluster.min()), int(cluster.max()))
        io.notes["ends"] = [[end, int((cluster == end).sum())] for end in ends]
    number = np.full(len(rank), io.task.number, np.int32)
    out = pa.table(
        {"sid": table["sid"], "cluster": table["cluster"], "rank": rank, "ranked_in": number}
    )
    yield from split_by_range(out, io.args.starts)


def before(done: Done) -> list[tuple[int, int]]:
    """For each bucket of ``ranked``: its first cluster, and the number of rows of that in earlier buckets."""
    counts: list[tuple[int, int]] = []
    last, earlier = -1, 0
    for notes in done.notes():
        if "ends" not in notes:
            counts.append((-1, 0))
            continue
        (first, _), (end, count) = notes["ends"]
        counts.append((first, earlier if first == last else 0))
        earlier = count + (earlier if first == end == last else 0)
        last = end
    return counts


def places(io: TaskIo[Range]) -> Iterator[pa.Table]:
    """(row, cluster, rank, distance), part by part; the rank is null for samples that did not reach the step.

    Quotas are not part of the table, so that another budget leaves it as it is.
    """
    ranks_of = by_part(_whole_ranks(io), io.args.parts)
    for part, with_rank in zip(io.parts(), ranks_of, strict=True):
        assigned = part.read("assigned")
        row = assigned["row"].to_numpy()
        width = int(row.max()) + 1 if len(row) else 0
        rank = scatter(with_rank, width)["rank"].take(pa.array(row))
        yield pa.table(
            {
                "row": assigned["row"],
                "cluster": assigned["cluster"],
                "rank": rank,
                "distance": _distances_or_none(assigned),
            }
        )


def with_quotas(places: pa.Table, quotas: pa.Table) -> pa.Table:
    """``places`` with the quota of each sample's concept, null without a rank; ``quotas`` has a row a cluster."""
    quota = quotas["quota"].to_numpy()[places["cluster"].to_numpy()]
    return places.append_column(
        "quota", pa.array(quota, mask=np.asarray(pc.is_null(places["rank"])))
    )


def over_quota(placed: pa.Table) -> pa.Table:
    """The rows of a table of places with quotas whose rank is beyond the quota."""
    return placed.filter(pc.greater(placed["rank"], placed["quota"])).combine_chunks()


def _whole_ranks(io: TaskIo[Range]) -> pa.Table:
    """(sid, rank in the whole cluster) of one range."""
    table = io.read("ranked").combine_chunks()
    before = np.array(io.args.before, np.int64).reshape(-1, 2)[table["ranked_in"].to_numpy()]
    more = np.where(table["cluster"].to_numpy() == before[:, 0], before[:, 1], 0)
    return pa.table({"sid": table["sid"], "rank": table["rank"].to_numpy() + more})
