"""One of each component of edges is kept: every other member falls, whoever it is alike to.

More edges than a task holds are joined by large and small stars (``algorithms.grouping.stars``), a phase a star, each
partition a task; then a component's members meet where its label lives. So a component has to fit into a task: one of
more than MOST samples is refused, where leaders (``leading``) have no such bound.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.grouping import components, stars
from tamis.pipeline.steps.duplicates.edges import Rule, both_ends, falls, signed
from tamis.pipeline.steps.duplicates.reading import bucket_phase
from tamis.pipeline.steps.shared import passes
from tamis.pipeline.steps.shared.exchange import split
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import Phase, listed
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import StateError
from tamis.schemas.scope import Scope

MOST = 16_000_000
"""Edges or members that a partition holds, about 200 bytes each; without a large component it has a quarter of them."""


@dataclass(frozen=True)
class Links:
    """Arguments of ``links``."""

    partitions: int
    value: str  # the column of the edges


@dataclass(frozen=True)
class Partitions:
    """Arguments of ``large_star`` and ``small_star``."""

    partitions: int


@dataclass(frozen=True)
class Labels:
    """Arguments of ``labelled``."""

    partitions: int
    larger: bool  # whether larger values are more alike


def phases(
    context: Context, step: str, files: Sequence[Slice], rule: Rule, partitions: int
) -> Iterator[Phase[Any]]:
    """``groups`` of more edges than one task holds.

    Raises:
        StateError: the stars do not come to rest.
    """
    by_end = Links(partitions, rule.value)
    tasks = [Task(Scope.BUCKET, i, {"edges": [file]}, by_end) for i, file in enumerate(files)]
    yield listed("links", links, tasks, buckets=partitions)
    linked = context.done(step, "links")
    centres = yield from _turns(context, step, linked, partitions)
    by_label = Labels(partitions, rule.larger)
    yield bucket_phase(
        "labels", labelled, partitions, by_label, partitions, links=linked, labels=centres
    )
    members = context.done(step, "labels")
    yield bucket_phase("groups", gathered, partitions, rule, len(rule.starts), members=members)


def _turns(
    context: Context, step: str, linked: Done, partitions: int
) -> Generator[Phase[Partitions], None, Done]:
    """Large and small star in turn, until what a small star reads is what the last one read: that is the labels."""
    args = Partitions(partitions)
    source, before = linked, (-1, 0)
    for turn in range(stars.MOST_TURNS):
        large, small = f"large-{turn:02d}", f"small-{turn:02d}"
        yield bucket_phase(large, large_star, partitions, args, partitions, edges=source)
        centres = context.done(step, large)
        yield bucket_phase(small, small_star, partitions, args, partitions, edges=centres)
        source = context.done(step, small)
        notes = list(source.notes())
        after = sum(n["edges"] for n in notes), sum(n["hash"] for n in notes) % 2**64
        if after == before:
            return centres
        before = after
    raise StateError(f"{step}: components still change after {stars.MOST_TURNS} turns")


def joined(io: TaskIo[Rule]) -> Iterator[pa.Table]:
    """The drops, in one memory: every member of a component but its survivor."""
    edges = io.read("edges").combine_chunks()
    sid, first, position = np.unique(both_ends(edges, "sid").to_numpy(), True, True)
    a, b = np.split(position, 2)
    uids = both_ends(edges, "uid").take(pa.array(first))
    value = signed(io.args, edges)
    partner, best = components.partners(a, b, value, uid_words(uids))
    members = pa.table(
        {
            "label": components.connected(a, b, len(sid)),
            "sid": sid,
            "uid": uids,
            "preference": both_ends(edges, "preference").take(pa.array(first)),
            "partner": uids.take(pa.array(partner)),
            "value": best if io.args.larger else -best,
        }
    )
    yield from _survived(io, members)


def gathered(io: TaskIo[Rule]) -> Iterator[pa.Table]:
    """The drops of the components whose labels live in one partition."""
    _check_size(io, "members")
    yield from _survived(io, io.read("members").combine_chunks())


def _survived(io: TaskIo[Rule], members: pa.Table) -> Iterator[pa.Table]:
    """All members but the survivor of each component, with their partner, by range."""
    uids = members["uid"].combine_chunks()
    preference = members["preference"].to_numpy()
    survivor = components.survivors(members["label"].to_numpy(), uid_words(uids), preference)
    dropped = np.flatnonzero(survivor != np.arange(len(survivor)))
    picks = pa.array(dropped)
    who = members.select(["sid", "partner", "value"]).take(picks)
    survivors = uids.take(pa.array(survivor[dropped]))
    yield from falls(io, who["sid"], who["partner"], who["value"], survivors)


def links(io: TaskIo[Links]) -> Iterator[pa.Table]:
    """Each edge from both its ends, by the partition of that end."""
    edges = io.read("edges").combine_chunks()
    count = edges.num_rows
    other = pa.array(np.roll(np.arange(2 * count), -count))
    sid, uid = both_ends(edges, "sid"), both_ends(edges, "uid")
    value = edges[io.args.value].to_numpy().astype(np.float64)
    out = pa.table(
        {
            "node": sid,
            "neighbour": sid.take(other),
            "uid": uid,
            "preference": both_ends(edges, "preference"),
            "partner": uid.take(other),
            "value": np.concatenate([value, value]),
        }
    )
    home = stars.partition_of(sid.to_numpy(), io.args.partitions)
    yield from split(out, home, io.args.partitions)


def large_star(io: TaskIo[Partitions]) -> Iterator[pa.Table]:
    """One partition's large star; its edges by their larger node."""
    yield from _shared(io, stars.large_star(*_read(io)), by_larger=True)


def small_star(io: TaskIo[Partitions]) -> Iterator[pa.Table]:
    """One partition's small star; its edges by both nodes. Notes what it read."""
    edges = stars.unique(*_read(io))
    count, total = stars.checksum(edges)
    io.notes |= {"edges": count, "hash": total}
    yield from _shared(io, stars.small_star(*edges), by_larger=False)


def _read(io: TaskIo[Partitions]) -> stars.Edges:
    _check_size(io, "edges")
    table = io.read("edges", ["node", "neighbour"])
    return table["node"].to_numpy(), table["neighbour"].to_numpy()


def _check_size(io: TaskIo[Any], role: str) -> None:
    """Check that a partition can be held.

    Raises:
        StateError: it cannot, as many as one component has.
    """
    rows = passes.rows_of(io, role)
    if rows > MOST:
        raise StateError(
            f"{io.path}: {rows:,} {role} of components that `group: chain` makes meet in one task, which holds "
            f"{MOST:,}: take `group: leader`, which has no such limit, or let `exact_duplicates` go before"
        )


def _shared(io: TaskIo[Partitions], edges: stars.Edges, by_larger: bool) -> Iterator[pa.Table]:
    for node, neighbour in stars.split_edges(edges, io.args.partitions, by_larger):
        yield pa.table({"node": node, "neighbour": neighbour})


def labelled(io: TaskIo[Labels]) -> Iterator[pa.Table]:
    """(label, sid, uid, preference, partner, value) of one partition's nodes, by the partition of the label."""
    table = io.read("links").combine_chunks()
    node, partner = table["node"].to_numpy(), uid_words(table["partner"])
    value = table["value"].to_numpy()
    order = np.lexsort((partner[:, 1], partner[:, 0], -value if io.args.larger else value, node))
    ordered = node[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    sid = ordered[first]
    star = io.read("labels", ["node", "neighbour"])
    label = sid.copy()  # the smallest node of a component has no label but itself
    label[np.searchsorted(sid, star["node"].to_numpy())] = star["neighbour"].to_numpy()
    best = table.select(["uid", "preference", "partner", "value"]).take(pa.array(order[first]))
    out = best.add_column(0, "sid", pa.array(sid)).add_column(0, "label", pa.array(label))
    home = stars.partition_of(label, io.args.partitions)
    yield from split(out, home, io.args.partitions)
