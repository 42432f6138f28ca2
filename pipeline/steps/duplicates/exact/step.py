"""Exact duplicates: the same picture's bytes, its pixels, the pair, or URL and caption. One of each group survives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from tamis.pipeline.algorithms.grouping import leaders
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
from tamis.pipeline.steps.shared.bucket_counts import buckets_for
from tamis.pipeline.steps.shared.exchange import (
    bucket_of,
    range_starts,
    split,
    split_by_range,
    verdict_phase,
)
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.phase import EachPart, Phase
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

    def needs(self) -> Sequence[str]:
        """The signal that is preferred by, if any."""
        return needed(self.config.preferred_signal)

    def check(self, inputs: Sequence[InputFile]) -> None:
        """What is preferred by is a number.

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
    rows = io.alive()
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
            "sid": (np.int64(io.part) << 32) | rows[with_key],
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
    table = io.read("keys").combine_chunks()
    key = uid_words(table["key"])
    rank = leaders.ranks(uid_words(table["uid"]), table["preference"].to_numpy())
    order = np.lexsort((rank, key[:, 1], key[:, 0]))
    ordered = key[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    survivor = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    dropped, kept = order[~first], survivor[~first]
    uids = table["uid"].combine_chunks()
    partner = uids.take(pa.array(kept))
    out = pa.table(
        {
            "sid": table["sid"].to_numpy()[dropped],
            "partner": partner,
            "partner_value": np.ones(len(dropped)),
            "survivor": partner,
        }
    )
    yield from split_by_range(out, io.args.starts)
