"""The result: shards with the original bytes, their sidecars and statistics, and the uid list of DataComp's tools.

A sample's shard follows from its position among the kept, by sid: shard = position // samples_per_shard. What a step
with ``gaps`` leaves out keeps its position, so that only the shards that held it are written again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.order import by_uid
from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.results import delta, subset
from tamis.pipeline.steps.shared.bucket_counts import buckets_for
from tamis.pipeline.steps.shared.exchange import bucket_of, split
from tamis.pipeline.steps.shared.over_embedding import embeds_captions
from tamis.pipeline.steps.shared.pictures import with_pictures
from tamis.pipeline.steps.shared.tiers import kept_phase, tiering
from tamis.pipeline.steps.write import columns
from tamis.pipeline.steps.write.config import Write as Config
from tamis.pipeline.steps.write.numbering import Numbering, Numberings
from tamis.pipeline.steps.write.repeated import Times, repeated
from tamis.pipeline.steps.write.shard import Shard, write_shard
from tamis.pipeline.steps.write.tiers import OfTier, kept_of_tier
from tamis.pipeline.steps.write.vectors import EMBEDDING, ShardVectors, write_vectors
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tables.columns import uid_words
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.parts import Part
from tamis.pipeline.tasks.phase import EachPart, Numbered, Phase, listed
from tamis.pipeline.tasks.product import Kind, Product
from tamis.pipeline.tasks.sources import ByPart, SomeParts, Source
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.layout import SUBSET
from tamis.schemas.nearest import nearest
from tamis.schemas.registry import step_class
from tamis.schemas.scope import Scope

SUBSET_BUCKET = 50_000_000
"""Uids sorted at once."""


@dataclass(frozen=True)
class Spread:
    """Arguments of ``spread_uids``: how many buckets there are."""

    buckets: int


class Write(Step):
    """``kept`` a part; ``columns`` a part, and ``layout``; where tiers have their own shards ``kept_N`` of each; then
    ``shards`` and ``vectors``; ``subset``, after ``left`` without gaps, ``repeated`` with repetitions, and of many uids
    ``spread`` and ``sorted``.
    """

    version = 4
    passing = ("spread", "sorted")

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job
        self._gapped = {step.name for step in job.steps if step.leaves_gaps}
        self._tiering = tiering(job.steps)

    def needs(self) -> Sequence[Product]:
        """The signal that says how often each uid stands in the subset."""
        return [] if self.config.times is None else [product.signal(self.config.times)]

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Check that all inputs of tars have pictures, and that there are such columns.

        Raises:
            JobError: names an input that has none, or a column that is neither the input's nor a signal.
        """
        bare = [source for source, has in with_pictures(inputs).items() if not has]
        if bare and self._format(inputs) == "webdataset":
            raise JobError(
                f"{self.name}: {bare[0]} has no pictures to put into tars: set `format: parquet`, or leave it out"
            )

        self._written()
        if self.config.columns != "all":
            known = [*self._signals(), *self._own(inputs), columns.CLUSTER]
            for name in self.config.columns:
                if name not in known:
                    raise JobError(
                        f"{self.name}: columns: neither the input nor a signal is called `{name}`"
                        f"{nearest(name, known)}"
                    )

    def _signals(self) -> Iterator[str]:
        """The signals that the job's other steps make."""
        for config in self.job.steps:
            if not config.is_last:
                for made in step_class(config.kind)(config, self.job).makes():
                    if made.kind is Kind.SIGNAL:
                        yield made.name

    @staticmethod
    def _own(inputs: Sequence[InputFile]) -> Iterator[str]:
        """The columns of the input: those of each entry's first file."""
        firsts = {(file.entry, file.kind): file for file in reversed(inputs)}
        for file in firsts.values():
            yield from format_of(file).own_names(file)

    @property
    def _wanted(self) -> Sequence[str] | None:
        return None if self.config.columns == "all" else self.config.columns

    def _format(self, inputs: Sequence[InputFile]) -> str:
        """The job's format; `auto` is tars where any input has pictures."""
        if self.config.format != "auto":
            return self.config.format
        answers = with_pictures(inputs).values()
        return "parquet" if answers and not any(answers) else "webdataset"

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        living: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "drops": self._drops(context, gapped=False),
        }
        yield Phase("kept", kept, EachPart(context.parts, living))
        yield self._columns(context)
        found = {"found": context.done(self.name, "columns").whole()}
        yield listed("layout", columns.join, [Task.whole("columns", found)])
        yield from self._tiers(context)
        yield Phase("shards", write_shard, self._shards(context), carries_bytes=True)
        receipts = storage.join(context.root, paths.folder(self.name, "vectors"))
        # Without tasks the phase removes the receipts of an earlier setting.
        if self.config.embeddings or storage.exists(receipts):
            yield Phase("vectors", write_vectors, self._vectors(context))
        yield from self._subset(context)

    def _drops(self, context: Context, gapped: bool) -> list[ByPart]:
        """The verdicts of steps that leave gaps, or of all others."""
        return [by for step, by in context.verdicts() if (step in self._gapped) is gapped]

    def _tables(self, context: Context) -> dict[str, ByPart]:
        """Tables of signals and of clusters by role, of columns that the result is to have."""
        tables = {f"{columns.SIGNAL}{name}": table for name, table in context.signals()}
        for _, table in context.place_tables():  # the last counts
            tables[columns.PLACE] = table
        wanted = self._wanted
        return {
            role: table
            for role, table in tables.items()
            if wanted is None or columns.column_of(role) in wanted
        }

    def _columns(self, context: Context) -> Phase[columns.Found]:
        """``columns``: those of each part."""
        tables: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "kept": context.at(self.name, "kept"),
            **self._tables(context),
        }
        form = self._format(context.inputs)

        def found(part: Part) -> columns.Found:
            file = context.inputs[part.file]
            return columns.Found(
                (file.entry, file.relative, file.kind, file.size),
                self._wanted,
                form == "parquet" and self.config.pictures,
                file.path,
                _digest(context, part.file, file),
                file.reading.told,
            )

        return Phase("columns", columns.find, EachPart(context.parts, tables, each=found))

    def _subset(self, context: Context) -> Iterator[Phase[Any]]:
        """``subset``; of more uids than are sorted at once ``spread`` and ``sorted`` before it."""
        phase, total = "kept", context.alive
        if self._gapped:
            phase = "left"
            both = {"kept": [context.at(self.name, "kept")], "gone": self._drops(context, True)}
            yield Phase("left", left, EachPart(context.parts, both))
        if self.config.times is not None:
            signal = context.signal(self.config.times)
            by_kept = {"kept": context.at(self.name, phase), "times": signal}
            phase = "repeated"
            times = Times(self.config.times)
            yield Phase("repeated", repeated, EachPart(context.parts, by_kept, times))
            total = context.done(self.name, "repeated").rows
        buckets = buckets_for(total, SUBSET_BUCKET)
        uids = context.done(self.name, phase)
        if buckets > 1:
            by_part = {"kept": context.at(self.name, phase)}
            spread = EachPart(context.parts, by_part, Spread(buckets), buckets=buckets)
            yield Phase("spread", spread_uids, spread)
            done = context.done(self.name, "spread")
            tasks: list[Task[None]] = [
                Task(Scope.BUCKET, b, {"uids": done.groups(b)}) for b in range(buckets)
            ]
            yield listed("sorted", sort_uids, tasks)
            uids = context.done(self.name, "sorted")
        yield listed("subset", write_subset, [Task.whole("uids", {"uids": uids.whole()})])

    def _tiers(self, context: Context) -> Iterator[Phase[OfTier]]:
        """``kept_0``, ``kept_1`` and so on, a tier each."""
        if self._tiering is None:
            return
        signal = context.signal(self._tiering.signal)
        assert signal is not None, "the tiers are those of a step of the job"
        by_part = {"kept": context.at(self.name, "kept"), "tiers": signal}
        for number, tier in enumerate(self._tiering.each):
            of_tier = EachPart(context.parts, by_part, OfTier(self._tiering.signal, tier))
            yield Phase(kept_phase(number), kept_of_tier, of_tier)

    def _numberings(self, context: Context) -> Numberings:
        size, chosen = self.config.samples_per_shard, context.at(self.name, "kept")
        if self._tiering is None:
            return Numberings([Numbering(size, chosen)])
        return Numberings(
            [
                Numbering(size, context.at(self.name, kept_phase(number)), tier)
                for number, tier in enumerate(self._tiering.each)
            ]
        )

    def _shards(self, context: Context) -> Numbered[Shard]:
        """A task a shard, with its parts and the span of kept samples of each."""
        every = self._numberings(context)
        gone, ingest = self._drops(context, gapped=True), context.ingest()
        form = self._format(context.inputs)  # it looks at every file of the input
        tables = self._tables(context)
        layout = context.done(self.name, "layout").whole()

        def shard(number: int) -> Task[Shard]:
            numbering, place = every.at(number)
            taken, span = numbering.parts_of(place)
            of_file = Counter(context.parts[part].file for part in taken)
            by_role = {"ingest": ingest, "kept": numbering.chosen, **tables}
            # A table under several roles travels once.
            slices = {id(by): [SomeParts(by, taken)] for by in by_role.values()}
            inputs = {"layout": layout, **{role: slices[id(by)] for role, by in by_role.items()}}
            inputs |= _gaps(gone, taken)
            args = self._arguments(context, place, numbering, span, form, of_file)
            return Task(Scope.SHARD, number, inputs, args, rows=span[1])

        return Numbered(Scope.SHARD, every.sizes, shard, every.numbers)

    def _written(self) -> Sequence[Any]:
        """The steps whose embeddings are written.

        Raises:
            JobError: there is no such embedding, or none at all.
        """
        wanted, made = self.config.embeddings, self.job.embeds
        names = [embed.makes_embedding for embed in made]
        if wanted and not names:
            raise JobError(f"{self.name}: embeddings: no step embeds: put `embed` before it")
        for name in () if wanted == "all" else wanted:
            if name not in names:
                raise JobError(
                    f"{self.name}: embeddings: no embedding `{name}`{nearest(name, names)}"
                )
        return [e for e in made if wanted == "all" or e.makes_embedding in wanted]

    def _vectors(self, context: Context) -> Numbered[ShardVectors]:
        """A task a shard, over the same parts and samples as those of ``_shards``."""
        every, gone = self._numberings(context), self._drops(context, gapped=True)
        sides, tables = list[tuple[str, str]](), {}
        for embed in self._written():
            name = embed.makes_embedding
            sides.append((name, "image"))
            if embeds_captions(self.job, embed):
                sides.append((name, "text"))
            tables[f"{EMBEDDING}{name}"] = context.embedding(name)

        def vectors(number: int) -> Task[ShardVectors]:
            numbering, place = every.at(number)
            taken, (first, samples) = numbering.parts_of(place)
            by_role = {"kept": numbering.chosen, **tables}
            inputs = {role: [SomeParts(by, taken)] for role, by in by_role.items()} | _gaps(
                gone, taken
            )
            stored = self.config.embeddings_as
            args = ShardVectors(place, first, samples, len(taken), sides, stored, numbering.tier)
            return Task(Scope.SHARD, number, inputs, args, rows=samples)

        sizes = every.sizes if self.config.embeddings else []
        return Numbered(Scope.SHARD, sizes, vectors, every.numbers if sizes else [])

    def _arguments(
        self,
        context: Context,
        number: int,
        numbering: Numbering,
        span: tuple[int, int],
        form: str,
        of_file: Mapping[int, int],
    ) -> Shard:
        """Arguments of shard ``number`` of a numbering; ``of_file``: its parts of each file."""
        files = [context.inputs[file] for file in of_file]
        told = any(file.reading.told for file in files)
        return Shard(
            number,
            *span,
            [
                (file.entry, file.relative, file.kind, file.size, parts)
                for file, parts in zip(files, of_file.values(), strict=True)
            ],
            self.config.samples_per_shard,
            form,
            self._wanted,
            self.config.json_ == "signals",
            [_digest(context, file, context.inputs[file]) for file in of_file],
            paths=[file.path for file in files],
            readings=[file.reading for file in files] if told else None,
            tier=numbering.tier,
        )


def _gaps(gone: Sequence[ByPart], taken: npt.NDArray[np.int64]) -> dict[str, list[Source]]:
    """The input of a shard's gaps; a shard without any does not know of them."""
    if not any(by.rows[taken].any() for by in gone):
        return {}
    return {"gone": [SomeParts(by, taken) for by in gone]}


def kept(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(row, uid) of one part's kept samples."""
    uids = io.read("ingest", ["uid"])["uid"].combine_chunks()
    rows = io.living_rows()
    io.count(kept=len(rows))
    yield pa.table({"row": rows.astype(np.uint32), "uid": uids.take(pa.array(rows))})


def left(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(row, uid) of one part's kept samples that are no gaps."""
    table = io.read("kept")
    gone = io.read("gone", ["row"])["row"]
    yield table.filter(pc.invert(pc.is_in(table["row"], gone.combine_chunks())))


def spread_uids(io: TaskIo[Spread]) -> Iterator[pa.Table]:
    """(uid) of one part's kept samples, a row group a bucket."""
    table = io.read("kept", ["uid"]).combine_chunks()
    buckets = io.args.buckets
    yield from split(table, bucket_of(uid_words(table["uid"])[:, 0], buckets), buckets)


def sort_uids(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(uid) of a bucket, sorted."""
    table = io.read("uids").combine_chunks()
    words = uid_words(table["uid"])
    yield table.take(pa.array(by_uid(words)))


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


def _digest(context: Context, number: int, file: InputFile) -> str | None:
    """The sha256 of a file whose own columns are read again; None where ingest's table holds them."""
    if format_of(file).values_in_table:
        return None
    return str(context.done("ingest", "files").files.note(number)["sha256"])
