"""The first step of every job: walk each input file once; a row for everything that is met, good or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.steps.shared.bucket_counts import buckets_for
from tamis.pipeline.steps.shared.exchange import (
    bucket_of,
    by_part,
    numbers,
    range_starts,
    split,
    split_by_range,
)
from tamis.pipeline.steps.shared.parts import drops, part_task, range_name
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Done, Part, Phase, Task, TaskIo
from tamis.schemas.job import Job
from tamis.schemas.ledger import Reason
from tamis.schemas.tables import INGEST


class Ingest(Step):
    """``files``: one task an input file, whose table has a row group for each part; then the verdict on each part.

    Between them ``uids`` and ``unique`` look for a uid that stands twice. Only where one does, ``repeats`` brings back
    to each part which of its samples give way.
    """

    name = "ingest"
    version = 3

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
        check = [Task(f"bucket-{b:05d}", {"uids": named.groups(b)}) for b in range(buckets)]
        yield Phase("unique", unique, check, {"starts": range_starts(context)})
        found = context.done("ingest", "unique")
        if found.total("repeated"):
            yield _repeats(context, found)
            parts = [
                _with_repeats(context, part, task)
                for part, task in zip(context.parts, parts, strict=True)
            ]
        yield Phase("verdict", decide, parts)


def _repeats(context: Context, found: Done) -> Phase:
    """The samples that give way, by range; what is said of them names the one that stays by its file."""
    tasks = [
        Task(range_name(number), {"found": found.groups(number)}, {"parts": numbers(parts)})
        for number, parts in enumerate(context.ranges())
    ]
    where = {
        "sources": [context.inputs[part.file].source for part in context.parts],
        "firsts": _firsts(context.parts),
    }
    return Phase("repeats", repeats, tasks, where)


def _with_repeats(context: Context, part: Part, task: Task) -> Task:
    """The part's verdict reads of them where it has some; any other stays the task that it was."""
    piece = context.at("ingest", "repeats", part)
    return replace(task, inputs={**task.inputs, "repeats": [piece]}) if piece.rows else task


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
    source = InputFile(
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
    """(uid, sid, usable) of one part, a row group a bucket."""
    table = io.read("ingest", ["uid", "reason"]).combine_chunks()
    column = table["uid"].combine_chunks()
    sid = (np.int64(io.args["part"]) << 32) | np.arange(len(column))
    buckets = io.args["buckets"]
    bucket = bucket_of(uid_words(column)[:, 0], buckets)
    usable = pc.is_null(table["reason"])
    yield from split(pa.table({"uid": column, "sid": sid, "usable": usable}), bucket, buckets)


def unique(io: TaskIo) -> Iterator[pa.Table]:
    """(sid, stays) of the samples of a bucket that give way, a row group a range; the notes count them.

    Of the samples with one uid the first that can be used stays; where none can, the first.
    """
    table = io.read("uids").combine_chunks()
    sid, stays = giving_way(
        uid_words(table["uid"]), table["sid"].to_numpy(), np.asarray(table["usable"])
    )
    io.count(repeated=len(sid))
    yield from split_by_range(pa.table({"sid": sid, "stays": stays}), io.args["starts"])


def giving_way(
    uid: npt.NDArray[np.uint64], sid: npt.NDArray[np.int64], usable: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Who gives way to another sample of the same uid, and to whom: two arrays of sids, aligned.

    Args:
        uid: uint64 (n, 2).
        sid: int64 (n,), unique.
        usable: bool (n,).
    """
    order = np.lexsort((uid[:, 1], uid[:, 0]))
    again = _same_as_before(uid[order])
    order = order[again | np.roll(again, -1)]  # as a rule nobody is left
    order = order[np.lexsort((sid[order], ~usable[order], uid[order, 1], uid[order, 0]))]
    again = _same_as_before(uid[order])
    stays = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
    return sid[order[again]], sid[order[stays[again]]]


def _same_as_before(uid: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """(n,) which of the sorted uids is that of the row before it."""
    same = np.zeros(len(uid), dtype=bool)
    same[1:] = (uid[1:] == uid[:-1]).all(axis=1)
    return same


def repeats(io: TaskIo) -> Iterator[pa.Table]:
    """(row, message) of the samples of each part that give way."""
    sources, firsts = io.args["sources"], io.args["firsts"]
    for table in by_part(io.read("found"), io.args["parts"]):
        messages = [
            f"the uid names sample {firsts[sid >> 32] + (sid & 0xFFFFFFFF):,} of {sources[sid >> 32]} (counted from 0)"
            for sid in table["stays"].to_pylist()
        ]
        yield pa.table({"row": table["row"], "message": pa.array(messages, pa.string())})


def decide(io: TaskIo) -> Iterator[pa.Table]:
    """The rows of one part that cannot be used, or whose uid is another's; that other one's place is told first."""
    table = io.read("ingest", ["reason", "message"])
    bad = np.flatnonzero(pc.is_valid(table["reason"]))
    said = table.take(bad)
    pairs = zip(said["reason"].to_pylist(), said["message"].to_pylist(), strict=True)
    found = dict(zip(bad.tolist(), pairs, strict=True))
    if "repeats" in io.task.inputs:
        again = io.read("repeats")
        for row, message in zip(
            *(again[name].to_pylist() for name in ("row", "message")), strict=True
        ):
            own = "; nor can this one be used, {}: {}".format(*found[row]) if row in found else ""
            found[row] = (str(Reason.REPEATED_UID), message + own)
    rows = np.array(sorted(found), dtype=np.int64)
    reasons, messages = ([found[row][i] for row in rows.tolist()] for i in (0, 1))
    yield drops(io, rows, reasons, message=pa.array(messages, pa.string()))
