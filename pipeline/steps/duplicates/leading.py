"""Leaders are kept: who is alike to a kept sample that is preferred to it falls (``algorithms.grouping.leaders``).

More edges than a task holds are decided in rounds. A sample's edges lie in its partition. In a round it falls if one of
its preferred neighbours is known to be kept, and is kept if all are known to have fallen; then its neighbours'
partitions are told. As soon as the undecided have few enough edges among them, one task decides the rest in one pass.
After ROUNDS rounds the undecided are decided in the order of a hash of their uids, which leaves no long chain.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.grouping import leaders, stars
from tamis.pipeline.algorithms.order import hashed
from tamis.pipeline.steps.duplicates.edges import Rule, both_ends, falls, signed
from tamis.pipeline.steps.duplicates.reading import bucket_phase
from tamis.pipeline.steps.shared.exchange import split
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import Phase, listed
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import StateError
from tamis.schemas.scope import Scope

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

ROUNDS = 64
"""Rounds in the order of preference; as many again are far more than the order of a hash needs."""

UNKNOWN, KEPT, FALLEN = 0, 1, 2


@dataclass(frozen=True)
class Links:
    """Arguments of ``links``."""

    partitions: int
    value: str  # the column of the edges
    larger: bool  # whether larger values are more alike


@dataclass(frozen=True)
class Round:
    """Arguments of the tasks of a round."""

    partitions: int
    by_hash: bool  # whether the order is that of a hash of the uids


class Followers(NamedTuple):
    """Samples that fall: their sids (n,), the uid of the leader of each, and how alike the two are, float64 (n,)."""

    sid: Ints
    leader: pa.Array
    value: npt.NDArray[np.float64]


def followers(edges: pa.Table, value: npt.NDArray[np.float64]) -> Followers:
    """The drops by the rule, in one memory. ``value``: of each edge, (m,), the larger the more alike."""
    sid, first, position = np.unique(both_ends(edges, "sid").to_numpy(), True, True)
    a, b = np.split(position, 2)
    uids = both_ends(edges, "uid").take(pa.array(first))
    preference = both_ends(edges, "preference").to_numpy()[first]
    rank = leaders.ranks(uid_words(uids), preference)
    leader, best = leaders.follow(rank[a], rank[b], value, edges["same"].to_numpy())
    dropped = np.flatnonzero(leader != np.arange(len(leader)))
    by_rank = np.argsort(rank)
    return Followers(
        sid[by_rank[dropped]], uids.take(pa.array(by_rank[leader[dropped]])), best[dropped]
    )


def led(io: TaskIo[Rule]) -> Iterator[pa.Table]:
    """The drops, in one memory: each sample that is alike to a kept one preferred to it."""
    edges = io.read("edges").combine_chunks()
    found = followers(edges, signed(io.args, edges))
    values = found.value if io.args.larger else -found.value
    yield from falls(io, pa.array(found.sid), found.leader, pa.array(values), found.leader)


def phases(
    context: Context, step: str, files: Sequence[Slice], rule: Rule, partitions: int, most: int
) -> Iterator[Phase[Any]]:
    """``groups`` of more edges than ``most``, which one task holds.

    Raises:
        StateError: the rounds do not come to an end.
    """
    by_end = Links(partitions, rule.value, rule.larger)
    tasks = [Task(Scope.BUCKET, i, {"edges": [file]}, by_end) for i, file in enumerate(files)]
    yield listed("links", links, tasks, buckets=partitions)
    linked = context.done(step, "links")
    told = yield from _rounds(context, step, linked, partitions, most)
    roles = {"links": linked, **told}
    end = Round(partitions, by_hash=False)
    yield bucket_phase("fates", fates, partitions, end, partitions, **roles)
    roles["fates"] = context.done(step, "fates")
    yield bucket_phase("groups", fallen, partitions, rule, len(rule.starts), **roles)


def _rounds(
    context: Context, step: str, linked: Done, partitions: int, most: int
) -> Generator[Phase[Any], None, dict[str, Done]]:
    """Rounds until all is decided: what each told the partitions, by its name."""
    told: dict[str, Done] = {}
    for number in range(2 * ROUNDS):
        name = f"round-{number:02d}"
        args = Round(partitions, by_hash=number >= ROUNDS)
        yield bucket_phase(name, decided, partitions, args, partitions, links=linked, **told)
        told[name] = context.done(step, name)
        if not told[name].total("undecided"):
            return told
        if told[name].total("edges") <= most:
            yield bucket_phase("undecided", undecided, partitions, args, None, links=linked, **told)
            edges = {"edges": context.done(step, "undecided").whole()}
            whole = Task.whole("components", edges, args)
            yield listed("rest", decided_at_once, [whole], buckets=partitions)
            rest_told = {"links": linked, "rest": context.done(step, "rest")}
            yield bucket_phase("last", passed_on, partitions, args, partitions, **rest_told)
            return told | {"last": context.done(step, "last")}
    raise StateError(f"{step}: samples are still undecided after {2 * ROUNDS} rounds")


def links(io: TaskIo[Links]) -> Iterator[pa.Table]:
    """Each edge from both its ends, by the partition of that end; ``ahead``: whether the neighbour is preferred."""
    edges = io.read("edges").combine_chunks()
    count = edges.num_rows
    other = pa.array(np.roll(np.arange(2 * count), -count))
    sid, uid = both_ends(edges, "sid"), both_ends(edges, "uid")
    preference = both_ends(edges, "preference")
    value = edges[io.args.value].to_numpy().astype(np.float64)
    same = edges["same"].to_numpy()
    out = pa.table(
        {
            "node": sid,
            "neighbour": sid.take(other),
            "uid": uid,
            "partner": uid.take(other),
            "preference": preference,
            "partner_preference": preference.take(other),
            "ahead": np.arange(2 * count) >= count,
            "same": np.concatenate([same, same]),
            "value": np.concatenate([value, value]) * (1.0 if io.args.larger else -1.0),
        }
    )
    home = stars.partition_of(sid.to_numpy(), io.args.partitions)
    chosen = np.flatnonzero(~_told_already(out, home, io.args.partitions))
    yield from split(out.take(pa.array(chosen)), home[chosen], io.args.partitions)


def _told_already(links: pa.Table, home: Ints, partitions: int) -> Mask:
    """Whether a link leads to one who is the same, and an earlier one of its node to another of that partition.

    A node's links lie in one partition, which could not hold those to millions who are the same.
    """
    same = np.flatnonzero(links["same"].to_numpy() & ~links["ahead"].to_numpy())
    node = links["node"].to_numpy()[same]
    there = stars.partition_of(links["neighbour"].to_numpy()[same], partitions)
    order = np.lexsort((same, there, node))
    repeated = np.zeros(len(order), dtype=bool)
    repeated[1:] = (node[order[1:]] == node[order[:-1]]) & (there[order[1:]] == there[order[:-1]])
    result = np.zeros(len(home), dtype=bool)
    result[same[order[repeated]]] = True
    return result


class _Partition:
    """The edges of a partition's samples, and what is known of both ends.

    Left out are those who are the same as another: they have no say, and share its fate.
    """

    def __init__(self, io: TaskIo[Any], columns: Sequence[str] = ()) -> None:
        table = io.read("links", ["node", "neighbour", "ahead", "same", *columns])
        table = table.filter(pc.invert(pc.and_(table["same"], table["ahead"]))).combine_chunks()
        self.table = table
        self.node, self.neighbour = table["node"].to_numpy(), table["neighbour"].to_numpy()
        self.own = ~table["same"].to_numpy()
        self.ahead = table["ahead"].to_numpy() & self.own
        rounds = [role for role in io.task.inputs if role not in ("links", "fates")]
        told = [io.read(role, ["node", "kept"]) for role in rounds]
        known = pa.concat_tables(told) if told else pa.table({"node": [0], "kept": [True]})[:0]
        self._known, first = np.unique(known["node"].to_numpy(), return_index=True)
        self._kept = known["kept"].to_numpy()[first]
        self.nodes, self.at = np.unique(self.node, return_inverse=True)
        self.state, self.of_neighbour = self._states(self.nodes), self._states(self.neighbour)

    def _states(self, sids: Ints) -> npt.NDArray[np.int8]:
        """The state of samples: UNKNOWN, KEPT or FALLEN, int8 (n,)."""
        states = np.full(len(sids), UNKNOWN, dtype=np.int8)
        at = np.searchsorted(self._known, sids)
        met = np.flatnonzero(at < len(self._known))
        met = met[self._known[at[met]] == sids[met]]
        states[met] = np.where(self._kept[at[met]], KEPT, FALLEN)
        return states

    def any_of(self, edges: Mask) -> Mask:
        """Whether a sample has any of the marked edges: bool (nodes,)."""
        marked: Mask = np.bincount(self.at[edges], minlength=len(self.nodes)) > 0
        return marked

    def falling(self, by_hash: bool) -> Mask:
        """Whether a sample is undecided and has a kept neighbour (preferred to it, but in rounds by hash): (nodes,)."""
        decisive = self.own if by_hash else self.ahead
        falls_for = self.any_of(decisive & (self.of_neighbour == KEPT))
        falling: Mask = falls_for & (self.state == UNKNOWN)
        return falling

    def told(self, chosen: Mask, kept: Mask, partitions: int) -> Iterator[pa.Table]:
        """(node, kept) of chosen samples, once for every partition that has to know."""
        edge = np.flatnonzero(chosen[self.at] & self.own)
        who = np.concatenate([np.flatnonzero(chosen), self.at[edge]])
        ends = np.concatenate([self.nodes[chosen], self.neighbour[edge]])
        home = stars.partition_of(ends, partitions)
        home, who = np.divmod(np.unique(home * (len(self.nodes) + 1) + who), len(self.nodes) + 1)
        yield from split(pa.table({"node": self.nodes[who], "kept": kept[who]}), home, partitions)


def decided(io: TaskIo[Round]) -> Iterator[pa.Table]:
    """(node, kept) of what this round decides of one partition, for it and for the neighbours' partitions."""
    by_hash = io.args.by_hash
    part = _Partition(io, ["uid", "partner"] if by_hash else [])
    waits_for = part.own & _before_by_hash(part.table) if by_hash else part.ahead
    waiting = waits_for & (part.of_neighbour == UNKNOWN)
    falling, unknown = part.falling(by_hash), part.state == UNKNOWN
    new = unknown & (falling | ~part.any_of(waiting))
    still = unknown & ~new
    io.count(undecided=int(still.sum()), edges=int((still[part.at] & waiting).sum()))
    io.count(by_hash=int(new.sum()) if by_hash else 0)
    yield from part.told(new, ~falling, io.args.partitions)


def _before_by_hash(table: pa.Table) -> Mask:
    """Whether the neighbour is before the node in the order of hashes of their uids: bool (m,)."""
    node, other = (hashed(uid_words(table[name]), 0, "leaders") for name in ("uid", "partner"))
    before: Mask = other < node
    return before


def undecided(io: TaskIo[Round]) -> Iterator[pa.Table]:
    """(node, neighbour, what decides between them, falls) of the undecided: themselves, and their undecided neighbours.

    A sample is its own neighbour in one row, whose ``falls`` says that a kept one is known.
    """
    columns = ["uid", "partner", "preference", "partner_preference"]
    part = _Partition(io, columns)
    falling, unknown = part.falling(io.args.by_hash), part.state == UNKNOWN
    waiting = part.ahead & (part.of_neighbour == UNKNOWN) & unknown[part.at]
    edges = part.table.select(["node", "neighbour", *columns])
    _, first = np.unique(part.at, return_index=True)
    own = edges.take(pa.array(first[unknown]))
    for name, of_node in (("neighbour", "node"), ("partner", "uid")):
        own = own.set_column(own.column_names.index(name), name, own[of_node])
    own = own.set_column(5, "partner_preference", own["preference"])
    rows = [own, edges.filter(pa.array(waiting))]
    falls_now = np.concatenate([falling[unknown], np.zeros(int(waiting.sum()), dtype=bool)])
    yield pa.concat_tables(rows).append_column("falls", pa.array(falls_now))


def decided_at_once(io: TaskIo[Round]) -> Iterator[pa.Table]:
    """(node, kept) of all that is undecided, by partition."""
    edges = io.read("edges").combine_chunks()
    own = edges.filter(pc.equal(edges["node"], edges["neighbour"])).combine_chunks()
    rank = leaders.ranks(uid_words(own["uid"]), own["preference"].to_numpy())
    sid = own["node"].to_numpy()
    order = np.argsort(sid)
    a, b = (
        rank[order[np.searchsorted(sid[order], edges[name].to_numpy())]]
        for name in ("neighbour", "node")
    )
    apart = a != b
    falling = np.zeros(len(sid), dtype=bool)
    falling[rank] = own["falls"].to_numpy()
    kept = leaders.kept(a[apart], b[apart], len(sid), falling)[rank]
    home = stars.partition_of(sid, io.args.partitions)
    yield from split(pa.table({"node": sid, "kept": kept}), home, io.args.partitions)


def passed_on(io: TaskIo[Round]) -> Iterator[pa.Table]:
    """(node, kept) of what one task decided of a partition, for it and for the neighbours' partitions."""
    part = _Partition(io)
    yield from part.told(part.state != UNKNOWN, part.state == KEPT, io.args.partitions)


FATE = ("partner", "value")
"""What a fallen sample fell for, and how alike the two are, the larger the more."""


class _Causes:
    """The links of a partition by which samples fall."""

    def __init__(self, io: TaskIo[Any]) -> None:
        part = _Partition(io, ["uid", *FATE, "partner_preference"])
        self.part, self.table = part, part.table
        fell = (part.state[part.at] == FALLEN) & (part.of_neighbour == KEPT)
        edge = np.flatnonzero(part.own & fell)
        value = self.table["value"].to_numpy()[edge]
        preference = self.table["partner_preference"].to_numpy()[edge]
        uid = uid_words(self.table["partner"])[edge]
        worse = (-preference, np.isnan(preference), -value, ~part.ahead[edge], part.at[edge])
        edge = edge[np.lexsort((uid[:, 1], uid[:, 0], *worse))]
        _, first = np.unique(part.at[edge], return_index=True)
        self.best = np.full(len(part.nodes), -1)
        """By node: of its kept neighbours the one that it is most alike to; -1 where it is kept."""
        self.best[part.at[edge[first]]] = edge[first]


def fates(io: TaskIo[Round]) -> Iterator[pa.Table]:
    """(node, kept, what it fell for) of those with others who are the same, for the partitions of these."""
    causes = _Causes(io)
    part = causes.part
    same = np.flatnonzero(~part.own)
    cause = causes.best[part.at[same]]
    of = causes.table.select(FATE).take(pa.array(np.maximum(cause, 0)))
    out = of.add_column(0, "kept", pa.array(cause < 0)).add_column(
        0, "node", pa.array(part.node[same])
    )
    home = stars.partition_of(part.neighbour[same], io.args.partitions)
    yield from split(out, home, io.args.partitions)


def fallen(io: TaskIo[Rule]) -> Iterator[pa.Table]:
    """The drops of one partition: each because of the kept neighbour that it is most alike to.

    Those who are the same as another fall for it, or for what it falls for.
    """
    causes = _Causes(io)
    best = causes.best[causes.best >= 0]
    first = causes.table.select(FATE).take(pa.array(best))
    own = first.add_column(0, "sid", pa.array(causes.part.nodes[causes.best >= 0]))
    del causes
    drops = pa.concat_tables([own, _of_the_same(io)]).combine_chunks()
    values = drops["value"].to_numpy()
    values = values if io.args.larger else -values
    partner = drops["partner"]
    yield from falls(io, drops["sid"], partner, pa.array(values), partner)


def _of_the_same(io: TaskIo[Rule]) -> pa.Table:
    """(sid, what it falls for) of those of a partition who are the same as another."""
    links = io.read("links", ["node", "neighbour", "ahead", "same", *FATE])
    links = links.filter(pc.and_(links["same"], links["ahead"])).combine_chunks()
    told = io.read("fates").combine_chunks()
    nodes, first = np.unique(told["node"].to_numpy(), return_index=True)
    at = first[np.searchsorted(nodes, links["neighbour"].to_numpy())]
    told = told.take(pa.array(at))
    columns = [pc.if_else(told["kept"], links[name], told[name]) for name in FATE]
    return pa.table([links["node"], *columns], ["sid", *FATE])
