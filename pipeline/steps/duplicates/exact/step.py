"""Exact duplicates: the same picture's bytes, its pixels, the pair, or URL and caption. One of each group survives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from tamis.pipeline.algorithms.arrays import BoolArray, Int64Array
from tamis.pipeline.algorithms.grouping import leaders
from tamis.pipeline.algorithms.order import rows_by
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.duplicates.exact.config import (
    SAME_IMAGE,
    SAME_PAIR,
    SAME_PIXELS,
    SAME_URL_AND_TEXT,
)
from tamis.pipeline.steps.duplicates.exact.config import ExactDuplicates as Config
from tamis.pipeline.steps.duplicates.reading import (
    bucket_phase,
    check_preference,
    living,
    needed,
    preference,
)
from tamis.pipeline.steps.shared import passes
from tamis.pipeline.steps.shared.bucket_counts import BUCKET_ROWS, buckets_for
from tamis.pipeline.steps.shared.exchange import (
    bucket_of,
    range_starts,
    split,
    split_by_range,
    verdict_phase,
)
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks.phase import EachPart, Phase
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.job import Job
from tamis.schemas.tables import UID

COLUMNS = {
    "image": ("sha256",),
    "pixels": ("pixels",),
    "pair": ("sha256", "text"),
    "url_text": ("url", "text"),
}
REASONS = {
    "image": SAME_IMAGE,
    "pixels": SAME_PIXELS,
    "pair": SAME_PAIR,
    "url_text": SAME_URL_AND_TEXT,
}

HELD_ROWS = 3 * BUCKET_ROWS
"""Rows of a bucket that are held at once, of 48 bytes each, and as much again to sort them."""


@dataclass(frozen=True)
class Keys:
    """Arguments of ``keys``."""

    on: str  # one of COLUMNS
    buckets: int
    prefer: str


@dataclass(frozen=True)
class Groups:
    """Arguments of ``groups``."""

    starts: Sequence[int]  # the first sid of each range


class ExactDuplicates(Step):
    """``keys``: a 128-bit key a sample; ``groups``: who is dropped, key by key; ``verdict``."""

    version = 3
    passing = ("keys",)

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.steps = config, config.name, job.steps

    def needs(self) -> Sequence[Product]:
        """The signal that is preferred by, if any."""
        return needed(self.config.preferred_signal)

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Check that the preferred signal is a number.

        Raises:
            JobError: it is text.
        """
        check_preference(self.name, self.config.preferred_signal, self.steps, inputs)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """Exchange by key."""
        buckets = buckets_for(context.alive)
        spread = Keys(self.config.on, buckets, self.config.preference)
        inputs = living(context, self.config.preferred_signal)
        tasks = EachPart(context.parts, inputs, spread, buckets=buckets)
        yield Phase("keys", keys, tasks)
        choice = Groups(range_starts(context))
        by_key = context.done(self.name, "keys")
        yield bucket_phase("groups", groups, buckets, choice, len(choice.starts), keys=by_key)
        yield verdict_phase(context, context.done(self.name, "groups"), REASONS[self.config.on])


def keys(io: TaskIo[Keys]) -> Iterator[pa.Table]:
    """(key, uid, sid, preference) of one part's living samples; a sample without a value has no key."""
    names = COLUMNS[io.args.on]
    table = io.read("ingest", ["uid", "width", "height", *names])
    rows = io.living_rows()
    table = table.take(pa.array(rows))
    values = [table[name].to_pylist() for name in names]
    if "url" in names:  # where some rows have no URL, it is often written as an empty one
        values[names.index("url")] = [url or None for url in table["url"].to_pylist()]
    key = [_key(sample) for sample in zip(*values, strict=True)]
    with_key = np.array([k is not None for k in key], dtype=bool)
    out = pa.table(
        {
            "key": pa.array([k for k in key if k is not None], UID),
            "uid": table["uid"].combine_chunks().filter(pa.array(with_key)),
            "sid": sids_of(io.part, rows[with_key]),
            "preference": preference(io, io.args.prefer, table, rows)[with_key],
        }
    )
    head = np.array([int.from_bytes(k[:8], "big") for k in key if k is not None], dtype=np.uint64)
    yield from split(out, bucket_of(head, io.args.buckets), io.args.buckets)


def _key(values: tuple[Any, ...]) -> bytes | None:
    """128 bits of the values, each with its length before it; None where one is missing."""
    digest = xxhash.xxh3_128()
    for value in values:
        if value is None:
            return None
        raw = value.encode() if isinstance(value, str) else value
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.digest()


def groups(io: TaskIo[Groups]) -> Iterator[pa.Table]:
    """The dropped samples of a bucket: of each key all but the first by preference and uid, which they name."""
    if passes.rows_of(io, "keys") > HELD_ROWS:
        yield from _groups_in_passes(io)
        return
    table = io.read("keys").combine_chunks()
    order, first = _ordered(table)
    survivor = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    partner = table["uid"].combine_chunks().take(pa.array(survivor[~first]))
    yield from split_by_range(
        _fallen(table["sid"].to_numpy()[order[~first]], partner), io.args.starts
    )


def _ordered(table: pa.Table) -> tuple[Int64Array, BoolArray]:
    """The rows of a bucket by key, preference and uid, (n,); and bool (n,) in that order: the first of its key?"""
    key = uid_words(table["key"])
    rank = leaders.ranks(uid_words(table["uid"]), table["preference"].to_numpy())
    order = rows_by(key[:, 0], key[:, 1], rank)
    ordered = key[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return order, first


def _fallen(sid: Int64Array, partner: pa.Array) -> pa.Table:
    ones = np.ones(len(sid))
    return pa.table({"sid": sid, "partner": partner, "partner_value": ones, "survivor": partner})


def _groups_in_passes(io: TaskIo[Groups]) -> Iterator[pa.Table]:
    """The same of a bucket that is too large: the first of each key in one pass, who falls in a second."""
    firsts = passes.folded(_batches(io), _firsts)
    assert firsts is not None, "the bucket has rows"
    falls = ((table["sid"][0].as_py(), _falls_for(table, firsts)) for table in _batches(io))
    yield from passes.ranges_in_turn(falls, io.args.starts)


def _batches(io: TaskIo[Groups]) -> Iterator[pa.Table]:
    return passes.batches(io, "keys", -(-HELD_ROWS // 3))


def _firsts(table: pa.Table) -> Int64Array:
    order, first = _ordered(table)
    return order[first]


def _falls_for(table: pa.Table, firsts: pa.Table) -> pa.Table:
    """The rows of ``table`` that are not the first of their key."""
    at = pc.index_in(table["key"], value_set=firsts["key"].combine_chunks())
    partner = firsts["uid"].combine_chunks().take(at.combine_chunks())
    falls = pc.not_equal(table["uid"].combine_chunks(), partner)
    sid = table["sid"].combine_chunks().filter(falls).to_numpy()
    return _fallen(sid, partner.filter(falls))
