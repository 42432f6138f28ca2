"""From verified edges to who is dropped: the phases that end in ``groups``, a library of the duplicate steps.

A table of edges has, for each end (``_a``, ``_b``), the columns ENDS, and one value a pair. Up to EDGES of them are
joined in one task's memory. More are joined by large and small stars (``algorithms.star_components``), a phase
a star, each partition a task; then a component's members meet where its label lives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms.grouping import components, stars
from tamis.pipeline.steps.shared.exchange import range_starts, split, split_by_range
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Done, Phase, Task, TaskIo
from tamis.schemas.errors import StateError
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
    """How an edge's value reads in the ledger."""

    name: str
    value: str  # the column
    bound: float
    larger: bool  # whether larger values are more alike

    @property
    def args(self) -> dict[str, Any]:
        """As a phase's arguments."""
        return {"rule": self.name, "value": self.value, "bound": self.bound, "larger": self.larger}


def edges(table: pa.Table, a: Ints, b: Ints, **values: npt.NDArray[Any]) -> pa.Table:
    """Edges between rows of ``table``, with what is needed of both ends."""
    columns: dict[str, Any] = {}
    for name in ENDS:
        for end, rows in (("a", a), ("b", b)):
            columns[f"{name}_{end}"] = table[name].combine_chunks().take(pa.array(rows))
    return pa.table({**columns, **values})


def phases(
    context: Context, step: str, edges: Sequence[Slice], rule: Rule, prefer: str
) -> Iterator[Phase]:
    """Afterwards ``groups`` holds, by range, all that is dropped.

    Raises:
        StateError: the stars do not come to rest.
    """
    settings = {**rule.args, "prefer": prefer, "starts": range_starts(context)}
    total = sum(piece.rows for piece in edges)
    if total <= EDGES:
        yield Phase("groups", joined, [Task.whole("components", {"edges": edges})], settings)
        return
    partitions = {"partitions": 1 + total // PARTITION}
    tasks = [Task(Scope.BUCKET, i, {"edges": [piece]}) for i, piece in enumerate(edges)]
    yield Phase("links", links, tasks, {**partitions, "value": rule.value})
    linked = context.done(step, "links")
    turns = _turns(context, step, linked, partitions)
    labels = yield from turns
    yield Phase(
        "labels",
        labelled,
        [
            Task(name, {"links": linked.groups(p), "labels": labels.groups(p)})
            for p, name in enumerate(_names(partitions))
        ],
        {**partitions, "larger": rule.larger},
    )
    met = context.done(step, "labels")
    homes = [Task(name, {"members": met.groups(p)}) for p, name in enumerate(_names(partitions))]
    yield Phase("groups", gathered, homes, settings)


def _names(partitions: dict[str, int]) -> list[str]:
    return [f"partition-{number:05d}" for number in range(partitions["partitions"])]


def _turns(context: Context, step: str, linked: Done, partitions: dict[str, int]) -> Any:
    """Large and small star in turn, until what a small star reads is what the last one read: that is the labels."""
    read, before = linked, (-1, 0)
    for turn in range(stars.MOST_TURNS):
        large, small = f"large-{turn:02d}", f"small-{turn:02d}"
        for name, star, source in ((large, large_star, read), (small, small_star, None)):
            held = source or context.done(step, large)
            tasks = [
                Task(task, {"edges": held.groups(p)}) for p, task in enumerate(_names(partitions))
            ]
            yield Phase(name, star, tasks, partitions)
        read = context.done(step, small)
        notes = [file.notes for file in read.files.values()]
        after = sum(n["edges"] for n in notes), sum(n["hash"] for n in notes) % 2**64
        if after == before:
            return context.done(step, large)
        before = after
    raise StateError(f"{step}: components still change after {stars.MOST_TURNS} turns")


def _ends(edges: pa.Table, name: str) -> pa.Array:
    """A column of both ends, all of ``a`` and then all of ``b``."""
    return pa.concat_arrays([edges[f"{name}_{end}"].combine_chunks() for end in "ab"])


def joined(io: TaskIo) -> Iterator[pa.Table]:
    """Who is dropped, in one memory: every member of a component but its survivor."""
    edges = io.read("edges").combine_chunks()
    sid, first, place = np.unique(_ends(edges, "sid").to_numpy(), True, True)
    a, b = np.split(place, 2)
    uids = _ends(edges, "uid").take(pa.array(first))
    sign = 1.0 if io.args["larger"] else -1.0
    value = edges[io.args["value"]].to_numpy().astype(np.float64)
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


def gathered(io: TaskIo) -> Iterator[pa.Table]:
    """Who is dropped of the components whose labels live in one partition."""
    yield from _dropped(io, io.read("members").combine_chunks())


def _dropped(io: TaskIo, members: pa.Table) -> Iterator[pa.Table]:
    """All members but the survivor of each component, with their partner, by range."""
    uids = members["uid"].combine_chunks()
    size = members["size"].to_numpy() if io.args["prefer"] == "larger" else None
    survivor = components.survivors(members["label"].to_numpy(), uid_words(uids), size)
    dropped = np.flatnonzero(survivor != np.arange(len(survivor)))
    picks = pa.array(dropped)
    value = members["value"].take(picks)
    out = pa.table(
        {
            "sid": members["sid"].take(picks),
            "rule": pa.array([io.args["rule"]] * len(dropped), pa.string()),
            "value": value,
            "bound": np.full(len(dropped), float(io.args["bound"])),
            "partner": members["partner"].take(picks).cast(UID),
            "partner_value": value,
            "survivor": uids.take(pa.array(survivor[dropped])).cast(UID),
        }
    )
    yield from split_by_range(out, io.args["starts"])


def links(io: TaskIo) -> Iterator[pa.Table]:
    """Each edge from both its ends, by the partition of that end."""
    edges = io.read("edges").combine_chunks()
    count = edges.num_rows
    other = pa.array(np.roll(np.arange(2 * count), -count))
    sid, uid = _ends(edges, "sid"), _ends(edges, "uid")
    value = edges[io.args["value"]].to_numpy().astype(np.float64)
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
    home = stars.partition_of(sid.to_numpy(), io.args["partitions"])
    yield from split(out, home, io.args["partitions"])


def large_star(io: TaskIo) -> Iterator[pa.Table]:
    """One partition's large star; its edges by their larger node."""
    yield from _shared(io, stars.large_star(*_read(io)), by_larger=True)


def small_star(io: TaskIo) -> Iterator[pa.Table]:
    """One partition's small star; its edges by both nodes. Notes what it read."""
    edges = stars.unique(*_read(io))
    count, total = stars.summed(edges)
    io.notes |= {"edges": count, "hash": total}
    yield from _shared(io, stars.small_star(*edges), by_larger=False)


def _read(io: TaskIo) -> stars.Edges:
    table = io.read("edges", ["node", "neighbour"])
    return table["node"].to_numpy(), table["neighbour"].to_numpy()


def _shared(io: TaskIo, edges: stars.Edges, by_larger: bool) -> Iterator[pa.Table]:
    for node, neighbour in stars.shares(edges, io.args["partitions"], by_larger):
        yield pa.table({"node": node, "neighbour": neighbour})


def labelled(io: TaskIo) -> Iterator[pa.Table]:
    """(label, sid, uid, size, partner, value) of one partition's nodes, by the partition of the label."""
    table = io.read("links").combine_chunks()
    node, partner = table["node"].to_numpy(), uid_words(table["partner"])
    value = table["value"].to_numpy()
    order = np.lexsort((partner[:, 1], partner[:, 0], -value if io.args["larger"] else value, node))
    ordered = node[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    sid = ordered[first]
    held = io.read("labels", ["node", "neighbour"])
    label = sid.copy()  # the smallest node of a component has no label but itself
    label[np.searchsorted(sid, held["node"].to_numpy())] = held["neighbour"].to_numpy()
    best = table.select(["uid", "size", "partner", "value"]).take(pa.array(order[first]))
    out = best.add_column(0, "sid", pa.array(sid)).add_column(0, "label", pa.array(label))
    home = stars.partition_of(label, io.args["partitions"])
    yield from split(out, home, io.args["partitions"])
