"""Buckets of captions that are too large to be held: single captions, the giants, stand under very many samples.

Of a giant the preferred samples, its leaders, are found first. Then its samples are read in shares: each share is
compared with the leaders and within itself. Pictures of equal hash and layout are in one share, and which one follows
from them alone: so what is found does not depend on the order of the samples. Where only captions count, nothing is
missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms.grouping import leaders
from tamis.pipeline.algorithms.grouping.buckets import Limits
from tamis.pipeline.algorithms.hashing import mix64
from tamis.pipeline.algorithms.near_captions import search
from tamis.pipeline.algorithms.near_captions.agreement import Agreement, PhashAgreement
from tamis.pipeline.steps.shared import passes
from tamis.pipeline.steps.shared.bucket_counts import TEXTS
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.task import TaskIo

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Agreeing = Callable[[pa.Table], Agreement]
"""Rows of a bucket -> the comparison of their pictures."""

ROLE = "texts"

HELD_ROWS = 3 * TEXTS
"""Samples of a bucket that are held at once, about; 100 to 150 bytes each, without their captions."""

HELD_VECTORS = HELD_ROWS // 10
"""The same where embeddings travel along."""

Share = tuple[pa.Table, search.Edges]
"""Some rows of a bucket, and the edges among them."""


def is_large(io: TaskIo[Any], held: int) -> bool:
    """Whether a bucket is to be read in passes."""
    return passes.rows_of(io, ROLE) > held


def rank(table: pa.Table) -> Ints:
    """The samples' ranks by preference and uid: int64 (n,)."""
    return leaders.ranks(uid_words(table["uid"]), table["preference"].to_numpy())


def equal(
    io: TaskIo[Any], columns: Sequence[str], agreeing: Agreeing, held: int
) -> Iterator[Share]:
    """Shares of the bucket, whose edges together are those of ``search.equal``; see the module."""
    giant = _giants(io, held)
    rest = [table.filter(pa.array(~_among(table, giant))) for table in _batches(io, held, columns)]
    ordinary = pa.concat_tables(rest).combine_chunks()
    del rest
    yield ordinary, search.equal(ordinary["key"].to_numpy(), rank(ordinary), agreeing(ordinary))
    del ordinary
    first = passes.folded(_of(io, giant, held, columns), lambda t: _leaders(t, agreeing(t), giant))
    if first is None:
        return
    splits = agreeing(first).splits
    others = (
        _shares(io, giant, columns, agreeing, held) if splits else _of(io, giant, held, columns)
    )
    known = np.sort(first["sid"].to_numpy())
    for number, table in enumerate(others):
        new = table.filter(pa.array(~np.isin(table["sid"].to_numpy(), known)))
        both = pa.concat_tables([first, new]).combine_chunks()
        yield both, _edges(both, agreeing(both), len(first), bool(number), splits)


def _edges(
    table: pa.Table, agreement: Agreement, leading: int, again: bool, splits: bool
) -> search.Edges:
    """Edges of a share whose first rows are ``leading`` leaders; those among leaders but where they were found before.

    All nodes but the leaders count as unsearched: other shares may have others that they agree with.
    """
    keys, order = table["key"].to_numpy(), rank(table)
    found = search.equal(keys, order, agreement)
    if again:
        new = (found.a >= leading) | (found.b >= leading)
        columns = {
            name: getattr(found, name)[new] for name in ("a", "b", "same", "jaccard", "agree")
        }
        found = replace(found, **columns)
    if not splits:
        return found
    others = search.representatives(keys, order, agreement) >= leading
    return replace(found, unsearched=int(others.sum()))


def distinct(io: TaskIo[Any], held: int) -> pa.Table:
    """(key, text) of the bucket's distinct captions, in the order of their keys."""
    found = passes.folded(_batches(io, held, ["key", "text"]), _first_of_each)
    assert found is not None, "the bucket has rows"
    return found


def nodes(io: TaskIo[Any], captions: Ints, agreeing: Agreeing, held: int) -> pa.Table:
    """The samples that stand for all of some captions, as in ``search.representatives``; of a giant, its leaders.

    ``captions``: positions among the sorted distinct keys.
    """
    keys = passes.folded(_batches(io, held, ["key"]), _first_of_each)
    assert keys is not None, "the bucket has rows"
    wanted, giant = keys["key"].to_numpy()[captions], _giants(io, held)
    found = passes.folded(
        _of(io, wanted, held, None), lambda table: _leaders(table, agreeing(table), giant)
    )
    if found is None:
        return _no_rows(io)
    standing = search.representatives(found["key"].to_numpy(), rank(found), agreeing(found))
    leading = np.flatnonzero(_among(found, giant))
    return found.take(pa.array(np.union1d(standing, leading)))


def _no_rows(io: TaskIo[Any]) -> pa.Table:
    """No rows of the bucket."""
    return next(io.stream(ROLE)).slice(0, 0)


def _giants(io: TaskIo[Any], held: int) -> Hashes:
    """The keys of the most frequent captions, sorted: so many that at most ``held`` samples have another."""
    keys, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
    for table in _batches(io, held, ["key"]):
        new, times = np.unique(table["key"].to_numpy(), return_counts=True)
        keys, at = np.unique(np.concatenate([keys, new]), return_inverse=True)
        counts = np.bincount(at, np.concatenate([counts, times])).astype(np.int64)
    ascending = np.sort(counts)
    fitting = int(np.searchsorted(np.cumsum(ascending), held, side="right"))
    if fitting == len(keys):
        return keys[:0]
    giant: Hashes = keys[counts >= ascending[fitting]]
    return giant


def _batches(
    io: TaskIo[Any], held: int, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    return passes.batches(io, ROLE, -(-held // 3), columns)


def _of(
    io: TaskIo[Any], keys: Hashes, held: int, columns: Sequence[str] | None
) -> Iterator[pa.Table]:
    """The samples whose captions have one of the sorted ``keys``, a batch at a time."""
    for table in _batches(io, held, columns):
        chosen = table.filter(pa.array(_among(table, keys)))
        if len(chosen):
            yield chosen.combine_chunks()


def _shares(
    io: TaskIo[Any], giant: Hashes, columns: Sequence[str], agreeing: Agreeing, held: int
) -> Iterator[pa.Table]:
    """All samples of the giants, shared out by their pictures, or by their uids where no two are equal."""
    count = sum(len(table) for table in _of(io, giant, held, ["key"]))
    shares = -(-count // held)
    for share in range(shares):
        chosen = []
        for table in _of(io, giant, held, columns):
            home = _home(table, agreeing(table)) % np.uint64(shares)
            chosen.append(table.filter(pa.array(home == share)))
        yield pa.concat_tables(chosen).combine_chunks()


def _home(table: pa.Table, agreement: Agreement) -> Hashes:
    """A hash of the hash and layout of each row's picture, or of its uid where pictures are embeddings: uint64 (n,)."""
    if "vector" in table.column_names:
        return mix64(uid_words(table["uid"])[:, 0])
    rows = np.arange(len(table))
    return mix64(_coarse(agreement).picture_keys(rows, np.zeros(len(rows), np.uint64)))


def _among(table: pa.Table, keys: Hashes) -> Mask:
    found: Mask = np.isin(table["key"].to_numpy(), keys)
    return found


def _first_of_each(table: pa.Table) -> Ints:
    """The first row of each key, by key."""
    return np.unique(table["key"].to_numpy(), return_index=True)[1]


def _leaders(table: pa.Table, agreement: Agreement, giant: Hashes) -> Ints:
    """Rows of all captions but the giants; of each giant the ``Limits.first`` preferred, by rank."""
    keys, order = table["key"].to_numpy(), rank(table)
    ordinary = ~np.isin(keys, giant)
    standing = search.representatives(keys, order, _coarse(agreement))
    standing = standing[~ordinary[standing]]
    standing = standing[np.lexsort((order[standing], keys[standing]))]
    of = keys[standing]
    starts = np.flatnonzero(np.concatenate([np.ones(len(of[:1]), bool), of[1:] != of[:-1]]))
    place = np.arange(len(of)) - np.repeat(starts, np.diff(starts, append=len(of)))
    return np.sort(np.concatenate([np.flatnonzero(ordinary), standing[place < Limits.first]]))


def _coarse(agreement: Agreement) -> Agreement:
    """The same agreement; but pictures of equal hash and layout are one, whatever else is read together with them."""
    if isinstance(agreement, PhashAgreement):
        return PhashAgreement(replace(agreement.pictures, pixels=None))
    return agreement
