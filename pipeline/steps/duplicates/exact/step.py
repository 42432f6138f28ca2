"""Exact duplicates: the same picture's bytes, its pixels, the pair, or URL and caption. One of each group survives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from tamis.pipeline.steps.duplicates.exact.config import (
    SAME_IMAGE,
    SAME_PAIR,
    SAME_PIXELS,
    SAME_URL_AND_TEXT,
)
from tamis.pipeline.steps.duplicates.exact.config import ExactDuplicates as Config
from tamis.pipeline.steps.shared.bucket_counts import buckets_for
from tamis.pipeline.steps.shared.exchange import (
    bucket_of,
    range_starts,
    split,
    split_by_range,
    verdict_phase,
)
from tamis.pipeline.steps.shared.parts import part_task
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Phase, Task, TaskIo
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


class ExactDuplicates(Step):
    """``keys``: a 128-bit key a sample; ``groups``: who is dropped, key by key; ``verdict``."""

    version = 2

    def __init__(self, config: Config, job: Job) -> None:
        del job
        self.config, self.name = config, config.name

    def phases(self, context: Context) -> Iterator[Phase]:
        """Exchange by key."""
        buckets = buckets_for(context.alive)
        tasks = [
            part_task(
                part,
                {"ingest": [context.ingest(part)], "drops": context.drops(part)},
                part=part.number,
            )
            for part in context.parts
        ]
        yield Phase("keys", keys, tasks, {"on": self.config.on, "buckets": buckets})
        made = context.done(self.name, "keys")
        groups_of = [Task(f"bucket-{b:05d}", {"keys": made.groups(b)}) for b in range(buckets)]
        yield Phase(
            "groups",
            groups,
            groups_of,
            {"prefer": self.config.prefer, "starts": range_starts(context)},
        )
        yield verdict_phase(context, context.done(self.name, "groups"), REASONS[self.config.on])


def keys(io: TaskIo) -> Iterator[pa.Table]:
    """(key, uid, sid, pixels of the picture) of one part's living samples; a sample without a value has no key."""
    names = COLUMNS[io.args["on"]]
    table = io.read("ingest", ["uid", "width", "height", *names])
    rows = io.alive(table.num_rows)
    table = table.take(pa.array(rows))
    values = [table[name].to_pylist() for name in names]
    if "url" in names:  # where some rows have no URL, it is often written as an empty one
        values[names.index("url")] = [url or None for url in table["url"].to_pylist()]
    key = [_key(sample) for sample in zip(*values, strict=True)]
    there = np.array([k is not None for k in key], dtype=bool)
    size = _numbers(table["width"]) * _numbers(table["height"])
    out = pa.table(
        {
            "key": pa.array([k for k in key if k is not None], UID),
            "uid": table["uid"].combine_chunks().filter(pa.array(there)),
            "sid": (np.int64(io.args["part"]) << 32) | rows[there],
            "size": size[there],
        }
    )
    head = np.array([int.from_bytes(k[:8], "big") for k in key if k is not None], dtype=np.uint64)
    yield from split(out, bucket_of(head, io.args["buckets"]), io.args["buckets"])


def _key(values: tuple[Any, ...]) -> bytes | None:
    """128 bits of the values, each with its length before it; None where one is missing."""
    digest = xxhash.xxh3_128()
    for value in values:
        if value is None:
            return None
        raw = value.encode() if isinstance(value, str) else value
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.digest()


def _numbers(column: Any) -> npt.NDArray[np.int64]:
    return column.fill_null(0).to_numpy().astype(np.int64)  # type: ignore[no-any-return]


def groups(io: TaskIo) -> Iterator[pa.Table]:
    """Sort a bucket by key, preference and uid; the first of each key survives, the others name it."""
    table = io.read("keys").combine_chunks()
    key = uid_words(table["key"])
    uid = uid_words(table["uid"])
    size = table["size"].to_numpy()
    preference = -size if io.args["prefer"] == "larger" else np.zeros_like(size)
    order = np.lexsort((uid[:, 1], uid[:, 0], preference, key[:, 1], key[:, 0]))
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
    yield from split_by_range(out, io.args["starts"])
