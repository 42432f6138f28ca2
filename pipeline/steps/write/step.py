"""The result: shards with the original bytes, their sidecars and statistics, and the uid list of DataComp's tools.

A sample's shard follows from its position among the kept, by sid: shard = position // samples_per_shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.inputs.formats import MEMBER_COLUMNS, format_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.results import delta, shards, subset
from tamis.pipeline.steps.shared.bucket_counts import buckets_for
from tamis.pipeline.steps.shared.exchange import bucket_of, split
from tamis.pipeline.steps.shared.parts import with_pictures
from tamis.pipeline.steps.write.config import Write as Config
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks.phase import EachPart, Numbered, Phase, listed
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo, location
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.scope import Scope

SUBSET = "subset.npy"

SUBSET_BUCKET = 50_000_000
"""Uids sorted at once."""


@dataclass(frozen=True)
class Spread:
    """Arguments of ``spread_uids``: how many buckets there are."""

    buckets: int


@dataclass(frozen=True)
class Shard:
    """Arguments of ``write_shard``. ``spans``, ``sources`` and ``paths`` have an item for each part of the shard."""

    shard: int
    shards: int  # of the result
    spans: Sequence[tuple[int, int]]  # (first, stop) of the part's kept samples
    sources: Sequence[tuple[str, str, str, int]]  # its file: entry, relative name, kind, bytes
    samples_per_shard: int
    format: str
    paths: Sequence[str] = location()


class Write(Step):
    """``kept`` a part; ``shards``; ``subset``, of many uids after ``spread`` and ``sorted``."""

    passing = ("spread", "sorted")

    def __init__(self, config: Config, _job: Job) -> None:
        self.config, self.name = config, config.name

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Check that all inputs of tars have pictures.

        Raises:
            JobError: names an input that has none.
        """
        bare = [source for source, has in with_pictures(inputs).items() if not has]
        if bare and self._format(inputs) == "webdataset":
            raise JobError(
                f"{self.name}: {bare[0]} has no pictures to put into tars: set `format: parquet`, or leave it out"
            )

    def _format(self, inputs: Sequence[InputFile]) -> str:
        """The job's format; `auto` is tars where any input has pictures."""
        if self.config.format != "auto":
            return self.config.format
        answers = with_pictures(inputs).values()
        return "parquet" if answers and not any(answers) else "webdataset"

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """``kept``, ``shards``, ``subset``."""
        living: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        yield Phase("kept", kept, EachPart(context.parts, living))
        yield Phase("shards", write_shard, self._shards(context), moves_pictures=True)
        yield from self._subset(context)

    def _subset(self, context: Context) -> Iterator[Phase[Any]]:
        """``subset``; of more uids than are sorted at once ``spread`` and ``sorted`` before it."""
        buckets = buckets_for(context.alive, SUBSET_BUCKET)
        uids = context.done(self.name, "kept")
        if buckets > 1:
            by_part = {"kept": context.at(self.name, "kept")}
            spread = EachPart(context.parts, by_part, Spread(buckets), buckets=buckets)
            yield Phase("spread", spread_uids, spread)
            done = context.done(self.name, "spread")
            tasks: list[Task[None]] = [
                Task(Scope.BUCKET, b, {"uids": done.groups(b)}) for b in range(buckets)
            ]
            yield listed("sorted", sort_uids, tasks)
            uids = context.done(self.name, "sorted")
        yield listed("subset", write_subset, [Task.whole("uids", {"uids": uids.whole()})])

    def _shards(self, context: Context) -> Numbered[Shard]:
        """A task a shard, with its parts and the span of kept samples of each."""
        size = self.config.samples_per_shard
        kept_of = context.kept()
        ends = np.cumsum(kept_of)
        starts, total = ends - kept_of, int(ends[-1])
        count = (total + size - 1) // size
        sizes = [min(size, total - number * size) for number in range(count)]
        chosen, ingest = context.at(self.name, "kept"), context.ingest()
        form = self._format(context.inputs)

        def shard(number: int) -> Task[Shard]:
            low, high = number * size, min((number + 1) * size, total)
            first, last = (int(np.searchsorted(ends, at, "right")) for at in (low, high - 1))
            taken = [
                (
                    part,
                    max(low - int(starts[part]), 0),
                    int(min(high - starts[part], kept_of[part])),
                )
                for part in range(first, last + 1)
                if kept_of[part]
            ]
            files = [context.inputs[context.parts[part].file] for part, _, _ in taken]
            return Task(
                Scope.SHARD,
                number,
                {
                    "ingest": [ingest[part] for part, _, _ in taken],
                    "kept": [chosen[part] for part, _, _ in taken],
                },
                Shard(
                    number,
                    count,
                    [(start, stop) for _, start, stop in taken],
                    [(file.entry, file.relative, file.kind, file.size) for file in files],
                    size,
                    form,
                    paths=[file.path for file in files],
                ),
                rows=sizes[number],
            )

        return Numbered(Scope.SHARD, sizes, shard)


def kept(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(row, uid) of one part's kept samples."""
    uids = io.read("ingest", ["uid"])["uid"].combine_chunks()
    rows = io.alive()
    io.count(kept=len(rows))
    yield pa.table({"row": rows.astype(np.uint32), "uid": uids.take(pa.array(rows))})


def spread_uids(io: TaskIo[Spread]) -> Iterator[pa.Table]:
    """(uid) of one part's kept samples, a row group a bucket."""
    table = io.read("kept", ["uid"]).combine_chunks()
    buckets = io.args.buckets
    yield from split(table, bucket_of(uid_words(table["uid"])[:, 0], buckets), buckets)


def sort_uids(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(uid) of a bucket, sorted."""
    table = io.read("uids").combine_chunks()
    words = uid_words(table["uid"])
    yield table.take(pa.array(np.lexsort((words[:, 1], words[:, 0]))))


def write_subset(io: TaskIo[None]) -> Iterator[pa.Table]:
    """``subset.npy``: the kept uids, sorted, as DataComp's tools read them; and what changes in it."""
    total = sum(source.rows for source in io.task.inputs["uids"])
    delta.write(io.root, storage.join(io.root, SUBSET), _uids(io, total))
    with io.output(SUBSET) as out:
        subset.write(out, total, _uids(io, total))
    yield io.receipt(SUBSET, total)


def _uids(io: TaskIo[None], total: int) -> Iterator[npt.NDArray[np.uint64]]:
    """All uids, some at a time: a part's of few, of many a bucket's, which is sorted."""
    if total < SUBSET_BUCKET:
        yield uid_words(io.read("uids", ["uid"])["uid"])
    else:
        yield from (uid_words(table["uid"]) for table in io.stream("uids", ["uid"]))


def write_shard(io: TaskIo[Shard]) -> Iterator[pa.Table]:
    """One shard: its tar (where there are pictures), its sidecar, and last its statistics."""
    taken = list(_taken(io))
    name = shards.shard_name(io.args.shard)
    rows = pa.concat_tables([table for _, table in taken])
    keys = [
        shards.shard_key(io.args.shard, position, io.args.samples_per_shard)
        for position in range(rows.num_rows)
    ]
    size = 0
    if io.args.format == "webdataset":
        with io.output(f"shards/{name}.tar") as out:
            writer = shards.ShardWriter(out)
            samples = (
                sample for file, table in taken for sample in format_of(file).members(file, table)
            )
            for key, sample in zip(keys, samples, strict=True):
                writer.add(key, sample)
            writer.close()
            size = out.written
        io.receipt(f"shards/{name}.tar", rows.num_rows)
    sources = [file.source for file, table in taken for _ in range(table.num_rows)]
    io.publish(f"shards/{name}.parquet", _sidecar(rows, keys, sources))
    with io.output(f"shards/{name}_stats.json") as out:
        out.write(shards.statistics(rows.num_rows, size))
    yield io.receipt(f"shards/{name}_stats.json", rows.num_rows)


def _taken(io: TaskIo[Shard]) -> Iterator[tuple[InputFile, pa.Table]]:
    """Part by part: the input file, and the rows of the samples in this shard."""
    columns = ["uid", "key", "url", "text", "width", "height", "sha256", *MEMBER_COLUMNS]
    parts = zip(
        io.stream("ingest", list(dict.fromkeys(columns))),
        io.stream("kept", ["row"]),
        io.args.spans,
        io.args.sources,
        io.args.paths,
        strict=True,
    )
    for table, kept_rows, (start, stop), (entry, relative, kind, size), path in parts:
        rows = np.sort(kept_rows["row"].to_numpy())[start:stop]
        yield InputFile(entry, relative, path, kind, size), table.take(pa.array(rows))


def _sidecar(rows: pa.Table, keys: Sequence[str], sources: Sequence[str]) -> pa.Table:
    def digits(name: str) -> list[str | None]:
        return [None if value is None else value.hex() for value in rows[name].to_numpy()]

    columns: dict[str, Any] = {
        "url": rows["url"],
        "caption": rows["text"],
        "key": keys,
        "sha256": digits("sha256"),
        "uid": digits("uid"),
        "source": sources,
        "source_key": rows["key"],
    }
    for side in ("width", "height"):
        columns[side] = columns[f"original_{side}"] = rows[side]
    return shards.sidecar(columns, rows.num_rows)
