"""The cut of a selector, which keeps exactly so many samples as its budget.

A selector gives each sample a group and a 64-bit key; of each group the smallest (key, uid) are kept. The cut is
the last (key, uid) that is kept. With more samples than a task holds, a sample of the keys first brackets each cut,
and only keys inside the brackets are sorted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms import order
from tamis.pipeline.steps.concepts.concepts import sample_bound
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import StateError
from tamis.schemas.tables import UID

SORTED_ROWS = 10_000_000
"""Keys that the phase ``cut`` sorts, at most; with more of them, a sample brackets the cut."""

KEY_BYTES = 32
"""Bytes of a stored key: row and group, the key itself, and the uid."""

SAMPLED_ROWS = 1_000_000
"""Size of that sample, about."""

DEVIATIONS = 6
"""Standard deviations between a cut and the ends of its bracket, which misses it once in a thousand million times."""

Mask = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Draw:
    """Arguments of ``drawn``."""

    below: int  # the bound that hashes stay at or below
    seed: int


@dataclass(frozen=True)
class Wanted:
    """Arguments of ``cut``."""

    wanted: Sequence[int]  # samples to keep, by group


@dataclass(frozen=True)
class Bracketing(Wanted):
    """Arguments of ``brackets``."""

    share: float  # of the keys that were drawn


def keyed(
    rows: npt.NDArray[np.integer],
    key: Words,
    uid: pa.Array,
    group: npt.NDArray[np.integer] | None = None,
) -> pa.Table:
    """A table of the phase ``keyed``: (row, group, key, uid)."""
    groups = np.zeros(len(rows), np.int32) if group is None else group.astype(np.int32)
    return pa.table({"row": rows.astype(np.uint32), "group": groups, "key": key, "uid": uid})


def have_key(context: Context, step: str, phase: str = "keyed") -> int:
    """Number of samples that have a key."""
    return context.done(step, phase).rows


def phases(
    context: Context, step: str, wanted: Sequence[int], prefix: str = ""
) -> Iterator[Phase[Any]]:
    """The phases up to ``cut``: (group, key, uid) of the last kept sample of each group that keeps any.

    Args:
        context: the run, in which the phase ``keyed`` is done, part by part.
        step: the step's name.
        wanted: samples to keep, by group.
        prefix: of the names of all phases, ``keyed`` too.
    """
    source = context.done(step, f"{prefix}keyed")
    rows = have_key(context, step, f"{prefix}keyed")
    if rows > SORTED_ROWS:
        draw = Draw(sample_bound(min(rows, SAMPLED_ROWS), rows), context.job.seed)
        keys = {"keyed": context.at(step, f"{prefix}keyed")}
        yield Phase(f"{prefix}drawn", drawn, EachPart(context.parts, keys, draw, buckets=1))
        every = {"drawn": context.done(step, f"{prefix}drawn").whole()}
        bracketing = Bracketing(list(wanted), draw.below / 2**64)
        yield listed(f"{prefix}brackets", brackets, [Task.whole("brackets", every, bracketing)])
        bounds = {"brackets": context.done(step, f"{prefix}brackets").whole()}
        tasks: EachPart[None] = EachPart(context.parts, keys, shared=bounds, buckets=1)
        yield Phase(f"{prefix}near", near, tasks)
        source = context.done(step, f"{prefix}near")
    task = Task.whole("cut", {"near": source.whole()}, Wanted(list(wanted)))
    yield listed(f"{prefix}cut", cut, [task])


def drawn(io: TaskIo[Draw]) -> Iterator[pa.Table]:
    """(group, key, high) of the samples of one part whose hash is below the bound; ``high`` is half of the uid."""
    table = io.read("keyed", ["group", "key", "uid"]).combine_chunks()
    uid = uid_words(table["uid"])
    chosen = order.hashed(uid, io.args.seed, "brackets") <= np.uint64(io.args.below)
    out = table.drop_columns(["uid"]).append_column("high", pa.array(uid[:, 0]))
    yield out.filter(pa.array(chosen))


def brackets(io: TaskIo[Bracketing]) -> Iterator[pa.Table]:
    """(group, low_key, low_high, end_key, end_high): the sampled keys around each group's cut."""
    table = io.read("drawn")
    group = table["group"].to_numpy()
    key, high = table["key"].to_numpy(), table["high"].to_numpy()
    arranged = np.lexsort((high, key, group))
    starts = np.searchsorted(group[arranged], np.arange(len(io.args.wanted) + 1))
    bounds: list[tuple[int, int, int, int]] = []
    for number, wanted in enumerate(io.args.wanted):
        rows = arranged[starts[number] : starts[number + 1]]
        expected = wanted * io.args.share  # sampled keys before the cut: binomial
        margin = DEVIATIONS * (math.sqrt(expected) + 1)
        low, end = math.floor(expected - margin), math.ceil(expected + margin)
        lowest = (int(key[rows[low]]), int(high[rows[low]])) if low >= 0 else (0, 0)
        highest = (2**64 - 1, 2**64 - 1)
        if end < len(rows):
            highest = (int(key[rows[end]]), int(high[rows[end]]))
        bounds.append((*lowest, *highest))
    columns = zip(*bounds, strict=True)
    names = ("low_key", "low_high", "end_key", "end_high")
    arrays = {
        name: np.array(column, np.uint64) for name, column in zip(names, columns, strict=True)
    }
    yield pa.table({"group": np.arange(len(bounds), dtype=np.int32), **arrays})


def near(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(group, key, uid) of the samples of one part inside the brackets, and (group, below) counts of those below."""
    table = io.read("keyed", ["group", "key", "uid"]).combine_chunks()
    bracket = io.read("brackets")
    group, key = table["group"].to_numpy(), table["key"].to_numpy()
    high = uid_words(table["uid"])[:, 0]
    bound = {name: bracket[name].to_numpy()[group] for name in bracket.column_names[1:]}
    over = (key > bound["low_key"]) | ((key == bound["low_key"]) & (high >= bound["low_high"]))
    under = (key < bound["end_key"]) | ((key == bound["end_key"]) & (high <= bound["end_high"]))
    inside = table.filter(pa.array(over & under))
    below = np.bincount(group[~over], minlength=bracket.num_rows)
    counted = np.flatnonzero(below)
    counts = pa.table(
        {
            "group": counted.astype(np.int32),
            "key": pa.nulls(len(counted), pa.uint64()),
            "uid": pa.nulls(len(counted), UID),
            "below": below[counted],
        }
    )
    nothing = pa.nulls(inside.num_rows, counts["below"].type)
    yield pa.concat_tables([inside.append_column("below", nothing), counts])


def cut(io: TaskIo[Wanted]) -> Iterator[pa.Table]:
    """(group, key, uid) of the last kept sample of each group.

    Raises:
        StateError: a bracket missed its cut.
    """
    table = io.read("near").combine_chunks()
    wanted = np.array(io.args.wanted, dtype=np.int64)
    if "below" in table.column_names:
        counted = table.filter(table["below"].is_valid())
        np.subtract.at(wanted, counted["group"].to_numpy(), counted["below"].to_numpy())
        table = table.filter(table["below"].is_null()).combine_chunks()
    group = table["group"].to_numpy()
    uid = uid_words(table["uid"])
    arranged = np.lexsort((uid[:, 1], uid[:, 0], table["key"].to_numpy(), group))
    starts = np.searchsorted(group[arranged], np.arange(len(wanted) + 1))
    asked = np.flatnonzero(np.array(io.args.wanted))
    last = starts[asked] + wanted[asked] - 1
    if ((wanted[asked] < 1) | (last >= starts[asked + 1])).any():
        raise StateError(
            f"{io.path}: a sampled bracket missed its cut, as it does once in a thousand million times: "
            "set another `seed`"
        )
    rows = pa.array(arranged[last])
    yield table.select(["group", "key", "uid"]).take(rows)


class Cut(NamedTuple):
    """The cuts of all groups; ``exists`` is False for a group that keeps no sample."""

    exists: Mask
    key: Words
    uid: Words


def read_cut(io: TaskIo[Any], groups: int = 1, role: str = "cut") -> Cut:
    """The cuts that the phase ``cut`` has stored."""
    table = io.read(role).combine_chunks()
    group = table["group"].to_numpy()
    cuts = Cut(
        np.zeros(groups, np.bool_), np.zeros(groups, np.uint64), np.zeros((groups, 2), np.uint64)
    )
    cuts.exists[group] = True
    cuts.key[group] = table["key"].to_numpy()
    cuts.uid[group] = uid_words(table["uid"])
    return cuts


def passes(table: pa.Table, cuts: Cut, all_ties: bool = False) -> Mask:
    """(n,) True for rows of a ``keyed`` table at or before their group's cut.

    With ``all_ties`` every row with the cut's key passes.
    """
    group, key = table["group"].to_numpy(), table["key"].to_numpy()
    uid = uid_words(table["uid"])
    cut_key, cut_uid = cuts.key[group], cuts.uid[group]
    by_uid = (uid[:, 0] < cut_uid[:, 0]) | (
        (uid[:, 0] == cut_uid[:, 0]) & (uid[:, 1] <= cut_uid[:, 1])
    )
    tied = (key == cut_key) & (by_uid | all_ties)
    passing: Mask = cuts.exists[group] & ((key < cut_key) | tied)
    return passing


def without_key(io: TaskIo[Any], table: pa.Table) -> npt.NDArray[np.int64]:
    """The living rows of one part that a ``keyed`` table does not have."""
    mask = io.living_mask()
    mask[table["row"].to_numpy()] = False
    return np.flatnonzero(mask)
