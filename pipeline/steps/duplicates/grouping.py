"""The last phases of the steps that look for near duplicates: from verified edges to who is dropped.

A table of edges has, for each end (``_a``, ``_b``), the columns ENDS, and one value a pair. Up to EDGES of them are
joined in one task's memory. More are joined by large and small stars (``algorithms.grouping.stars``), a phase
a star, each partition a task; then a component's members meet where its label lives.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms.grouping import components, stars
from tamis.pipeline.steps.duplicates.reading import bucket_phase
from tamis.pipeline.steps.shared.exchange import split, split_by_range, verdict_phase
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import Phase, listed
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import StateError
from tamis.schemas.scope import Scope
from tamis.schemas.tables import UID

Ints = npt.NDArray[np.int64]

ENDS = ("sid", "uid", "size")
"""What an edge says of each of its ends: the sample, its uid, and what a preference compares."""

EDGES = 8_000_000
"""Edges that one task joins in memory; about 250 bytes each."""

PARTITION = 4_000_000
"""Edges of a partition where there are more, about."""


@dataclass(frozen=True)
class Rule:
    """Arguments of ``joined`` and ``gathered``: who of a group survives, and how an edge reads in the ledger."""

    rule: str  # its name
    value: str  # the column of the edges
    bound: float
    larger: bool  # whether larger values are more alike
    prefer: str
    starts: Sequence[int]  # the first sid of each range


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


def edges(table: pa.Table, a: Ints, b: Ints, **values: npt.NDArray[Any]) -> pa.Table:
    """Edges between rows of ``table``, with what is needed of both ends."""
    columns: dict[str, Any] = {}
    for name in ENDS:
        for end, rows in (("a", a), ("b", b)):
            columns[f"{name}_{end}"] = table[name].combine_chunks().take(pa.array(rows))
    return pa.table({**columns, **values})


def phases(context: Context, step: str, rule: Rule, reason: str) -> Iterator[Phase[Any]]:
    """``groups``, all that is dropped, by range; and ``verdict``. ``equal`` and ``similar`` hold the step's edges.

    Raises:
        StateError: the stars do not come to rest.
    """
    found = [context.done(step, phase) for phase in ("equal", "similar")]
    if sum(done.rows for done in found) <= EDGES:
        every = {"edges": [source for done in found for source in done.whole()]}
        whole = Task.whole("components", every, rule)
        yield listed("groups", joined, [whole], buckets=len(rule.starts))
    else:
        yield from _by_stars(context, step, found, rule)
    yield verdict_phase(context, context.done(step, "groups"), reason)


def _by_stars(
    context: Context, step: str, found: Sequence[Done], rule: Rule
) -> Iterator[Phase[Any]]:
    """``groups`` of more edges than one task holds."""
    partitions = 1 + sum(done.rows for done in found) // PARTITION
    by_end = Links(partitions, rule.value)
    files = [done.files.file(i).slice() for done in found for i in range(len(done))]
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


def _ends(edges: pa.Table, name: str) -> pa.Array:
    """A column of both ends, all of ``a`` and then all of ``b``."""
    return pa.concat_arrays([edges[f"{name}_{end}"].combine_chunks() for end in "ab"])


def joined(io: TaskIo[Rule]) -> Iterator[pa.Table]:
    """Who is dropped, in one memory: every member of a component but its survivor."""
    edges = io.read("edges").combine_chunks()
    sid, first, position = np.unique(_ends(edges, "sid").to_numpy(), True, True)
    a, b = np.split(position, 2)
    uids = _ends(edges, "uid").take(pa.array(first))
    sign = 1.0 if io.args.larger else -1.0
    value = edges[io.args.value].to_numpy().astype(np.float64)
    partner, best = components.partners(a, b, sign * value, uid_words(uids))
    members = pa.table(
        {
            "label": components.connected(a, b, len(sid)),
            "sid": sid,
            "uid": uids,
            "size": _ends(edges, "size").take(pa.array(first)),
            "partner": uids.take(pa.array(partner)),
            "value": sign * best,
        }
    )
    yield from _dropped(io, members)


def gathered(io: TaskIo[Rule]) -> Iterator[pa.Table]:
    """Who is dropped of the components whose labels live in one partition."""
    yield from _dropped(io, io.read("members").combine_chunks())


def _dropped(io: TaskIo[Rule], members: pa.Table) -> Iterator[pa.Table]:
    """All members but the survivor of each component, with their partner, by range."""
    uids = members["uid"].combine_chunks()
    size = members["size"].to_numpy() if io.args.prefer == "larger" else None
    survivor = components.survivors(members["label"].to_numpy(), uid_words(uids), size)
    dropped = np.flatnonzero(survivor != np.arange(len(survivor)))
    picks = pa.array(dropped)
    value = members["value"].take(picks)
    out = pa.table(
        {
            "sid": members["sid"].take(picks),
            "rule": pa.array([io.args.rule] * len(dropped), pa.string()),
            "value": value,
            "bound": np.full(len(dropped), float(io.args.bound)),
            "partner": members["partner"].take(picks).cast(UID),
            "partner_value": value,
            "survivor": uids.take(pa.array(survivor[dropped])).cast(UID),
        }
    )
    yield from split_by_range(out, io.args.starts)


def links(io: TaskIo[Links]) -> Iterator[pa.Table]:
    """Each edge from both its ends, by the partition of that end."""
    edges = io.read("edges").combine_chunks()
    count = edges.num_rows
    other = pa.array(np.roll(np.arange(2 * count), -count))
    sid, uid = _ends(edges, "sid"), _ends(edges, "uid")
    value = edges[io.args.value].to_numpy().astype(np.float64)
    out = pa.table(
        {
            "node": sid,
            "neighbour": sid.take(other),
            "uid": uid,
            "size": _ends(edges, "size"),
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
    table = io.read("edges", ["node", "neighbour"])
    return table["node"].to_numpy(), table["neighbour"].to_numpy()


def _shared(io: TaskIo[Partitions], edges: stars.Edges, by_larger: bool) -> Iterator[pa.Table]:
    for node, neighbour in stars.split_edges(edges, io.args.partitions, by_larger):
        yield pa.table({"node": node, "neighbour": neighbour})


def labelled(io: TaskIo[Labels]) -> Iterator[pa.Table]:
    """(label, sid, uid, size, partner, value) of one partition's nodes, by the partition of the label."""
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
    best = table.select(["uid", "size", "partner", "value"]).take(pa.array(order[first]))
    out = best.add_column(0, "sid", pa.array(sid)).add_column(0, "label", pa.array(label))
    home = stars.partition_of(label, io.args.partitions)
    yield from split(out, home, io.args.partitions)
