"""The first step of every job: walk each input file once; a row for everything that is met, good or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.formats.ingest import ingest_file
from pipeline.formats.rows import IngestOptions
from pipeline.formats.sources import Source
from pipeline.phases import Context, Part, Phase, Step, Task, TaskIo
from pipeline.steps.common import drops, part_task, uid_words
from pipeline.steps.exchange import bucket_of, buckets_for, split
from schemas.errors import InputError
from schemas.job import Job
from schemas.tables import INGEST


class Ingest(Step):
    """``files``: one task an input file, whose table has a row group for each part; then the verdict on each part."""

    name = "ingest"
    version = 2

    def __init__(self, job: Job) -> None:
        self.job = job

    def phases(self, context: Context) -> Iterator[Phase]:
        """Walk the files; then drop what cannot be used."""
        limits = self.job.limits.model_dump()
        tasks = [
            Task(
                f"file-{number:05d}",
                args={
                    "entry": file.entry,
                    "relative": file.relative,
                    "kind": file.kind,
                    "size": file.size,
                    "stamp": file.stamp,  # written again, it is read again: its size may be the same
                },
                places={"path": file.path},
            )
            for number, file in enumerate(context.inputs)
        ]
        args = {**limits, "part_samples": self.job.part_samples}
        yield Phase("files", walk, tasks, args, by_sample=True)
        parts = [
            part_task(part, {"ingest": [context.ingest(part)]}, part=part.number)
            for part in context.parts
        ]
        buckets = buckets_for(context.total)
        yield Phase("uids", uids, parts, {"buckets": buckets})
        named = context.done("ingest", "uids")
        where = {
            "sources": [context.inputs[part.file].source for part in context.parts],
            "firsts": _firsts(context.parts),
        }
        check = [
            Task(f"bucket-{b:05d}", {"uids": named.groups(b)}, places=where) for b in range(buckets)
        ]
        yield Phase("unique", unique, check)
        yield Phase("verdict", decide, parts)


def _firsts(parts: Sequence[Part]) -> list[int]:
    """By part: how many samples of its file stand before it. A file's parts are numbered in its order."""
    before: dict[int, int] = {}
    firsts = []
    for part in parts:
        firsts.append(before.get(part.file, 0))
        before[part.file] = firsts[-1] + part.rows
    return firsts


def walk(io: TaskIo) -> Iterator[pa.Table]:
    """One input file -> its INGEST table, a row group a part."""
    args = io.args
    source = Source(
        args["entry"], args["relative"], io.task.places["path"], args["kind"], args["size"]
    )
    options = IngestOptions(
        args["part_samples"],
        args["max_pixels"],
        args["max_member_bytes"],
        span=io.span,
        culprits=frozenset(io.culprits.tolist()),
    )
    file = ingest_file(source, options)
    empty = True
    for table in file:
        empty = False
        yield table
    if empty:
        yield INGEST.empty_table()
    io.notes |= {"sha256": file.totals.sha256.hex(), "bytes": file.totals.size}


def uids(io: TaskIo) -> Iterator[pa.Table]:
    """(uid, sid) of one part, a row group a bucket."""
    column = io.read("ingest", ["uid"])["uid"].combine_chunks()
    sid = (np.int64(io.args["part"]) << 32) | np.arange(len(column))
    buckets = io.args["buckets"]
    bucket = bucket_of(uid_words(column)[:, 0], buckets)
    yield from split(pa.table({"uid": column, "sid": sid}), bucket, buckets)


def unique(io: TaskIo) -> Iterator[pa.Table]:
    """How many uids there are in a bucket, all different.

    Raises:
        InputError: two samples have the same one.
    """
    table = io.read("uids").combine_chunks()
    uid = uid_words(table["uid"])
    order = np.lexsort((uid[:, 1], uid[:, 0]))
    twice = np.flatnonzero((uid[order[1:]] == uid[order[:-1]]).all(axis=1))
    if len(twice):
        first, second = (int(table["sid"][int(order[twice[0] + i])].as_py()) for i in (0, 1))
        sources, firsts = io.task.places["sources"], io.task.places["firsts"]
        places = [
            f"{sources[sid >> 32]} as its sample {firsts[sid >> 32] + (sid & 0xFFFFFFFF):,}"
            for sid in sorted((first, second))
        ]
        raise InputError(
            f"the uid {table['uid'][int(order[twice[0]])].as_py().hex()} stands twice: in {' and in '.join(places)} "
            f"(counted from 0; {len(twice):,} such pairs here), but a uid names one sample: take one of them out of "
            "the input, or the uids, for then they are made"
        )
    yield pa.table({"uids": [len(uid)]})


def decide(io: TaskIo) -> Iterator[pa.Table]:
    """The rows of one part that cannot be used."""
    table = io.read("ingest", ["reason", "message"])
    rows = np.flatnonzero(pc.is_valid(table["reason"]))
    bad = table.take(rows)
    yield drops(io, rows, bad["reason"].to_pylist(), message=bad["message"].combine_chunks())
