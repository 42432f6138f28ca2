"""Semantic duplicates (SemDeDup, Abbas et al. 2023): near-equal embeddings inside a cluster.

The similarity of each sample to its nearest earlier one does not depend on epsilon: it is stored for all, and
another epsilon decides again from what is stored.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tamis.pipeline.algorithms.clusters import semantic, tiles
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.concepts import clustering, concepts
from tamis.pipeline.steps.concepts.clustered_step import ClusteredStep
from tamis.pipeline.steps.duplicates.reading import check_preference, living, needed
from tamis.pipeline.steps.duplicates.semantic import tasks
from tamis.pipeline.steps.duplicates.semantic.config import SEMANTIC_DUPLICATE
from tamis.pipeline.steps.duplicates.semantic.config import SemanticDuplicates as Config
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.config import nothing_reaches
from tamis.pipeline.steps.shared.exchange import range_phase, range_starts, verdict_phase
from tamis.pipeline.tables import paths
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import Source
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task
from tamis.schemas.job import Job
from tamis.schemas.scope import Scope

OVERSIZE_BYTES = 512 << 20
"""Bytes of embeddings that a task holds, at most; a larger bucket is laid out on storage, and compared in pieces."""

SPAN_FLOP = 4e12
"""Work of a task that compares a piece of a large bucket: about a minute."""

VECTORS_BUNDLE = 32
"""Parts of a file of ``members``: a task holds the embeddings of its parts, a third of a gigabyte at 512 dimensions."""

Files = dict[int, list[TableFile]]
"""The files of a phase, by bucket."""


class SemanticDuplicates(ClusteredStep[Config]):
    """Clusters; ``members`` and ``pairs`` a bucket of clusters; ``scores`` a sample; ``doomed`` and ``verdict``.

    Between the first two, ``order`` and ``blocks`` of the buckets that are too large to be held.
    """

    version = 4
    passing = (*concepts.PASSING, "members", "order", "blocks")

    def __init__(self, config: Config, job: Job) -> None:
        super().__init__(config, job)
        self.steps = job.steps

    def needs(self) -> Sequence[Product]:
        """The embedding, and the signal that is preferred by, if any."""
        return [*super().needs(), *needed(self.config.preferred_signal)]

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Check that the preferred signal is a number.

        Raises:
            JobError: it is text, or the step cannot cluster.
        """
        super().check(inputs)
        check_preference(self.name, self.config.preferred_signal, self.steps, inputs)

    def makes(self) -> Mapping[Product, str]:
        """The similarity, as a signal."""
        return {product.signal(self.config.signal): "scores"}

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        if not context.alive:
            raise nothing_reaches(self.name)
        dim = concepts.dimension(context, self.name, self.embedding)
        clusters = self.clusters(context.alive, dim)
        yield from concepts.phases(context, self.config, self.embedding, clusters)
        buckets = bucket_counts.of_clusters(context.alive, dim, clusters)
        yield Phase("members", tasks.members, self._member_tasks(context, clusters, buckets))
        pairs = yield from self._compare(context, buckets, dim)
        yield self._scores(context)
        # Partners are of the same cluster, and so of the same bucket.
        doomed = tasks.Doomed(self.config.epsilon, range_starts(context))
        decisions = [
            Task(Scope.BUCKET, b, {"pairs": [file.slice() for file in pairs[b]]}, doomed)
            for b in range(buckets)
        ]
        yield listed("doomed", tasks.doomed, decisions, buckets=len(doomed.starts))
        yield verdict_phase(context, context.done(self.name, "doomed"), SEMANTIC_DUPLICATE)

    def clusters(self, samples: int, dim: int) -> int:
        """The number of clusters: the job's, or that of the cost model."""
        return concepts.number(self.config, semantic.auto_clusters(samples, dim).clusters)

    def _member_tasks(
        self, context: Context, clusters: int, buckets: int
    ) -> EachPart[tasks.Members]:
        inputs = living(context, self.config.preferred_signal)
        inputs["assigned"] = context.at(self.name, "assign")
        inputs["embedding"] = context.embedding(self.embedding)
        spread = tasks.Members(clusters, buckets, self.config.preferred_signal)
        return EachPart(context.parts, inputs, spread, buckets=buckets, bundle=VECTORS_BUNDLE)

    def _compare(
        self, context: Context, buckets: int, dim: int
    ) -> Generator[Phase[Any], None, Files]:
        """``pairs``: a task a bucket, or several for one that is too large for memory. Returns its files by bucket."""
        made = context.done(self.name, "members")
        rows = {b: sum(source.rows for source in made.groups(b)) for b in range(buckets)}
        large = {b: n for b, n in rows.items() if n * dim * 2 > OVERSIZE_BYTES}
        starts, device = range_starts(context), clustering.on_device(self.config)
        whole = tasks.Whole(self.config.order, context.job.seed, starts=starts, device=device)
        compared: list[Task[tasks.Whole | tasks.Spans]] = [
            Task(Scope.BUCKET, b, {"members": made.groups(b)}, whole)
            for b in rows
            if b not in large
        ]
        if large:
            blocks = yield from self._lay_out(context, large, dim)
            ordered = context.done(self.name, "order")
            spans = tasks.Spans(dim, 0, (), starts, device)
            for b in large:
                compared += _pieces(b, ordered[paths.task_name(Scope.BUCKET, b)], blocks[b], spans)
        claimed = self.config.claim(context.job.resources)
        yield listed("pairs", tasks.pairs, compared, claimed, buckets=len(starts))
        return _by_bucket(compared, context.done(self.name, "pairs"))

    def _lay_out(
        self, context: Context, rows: Mapping[int, int], dim: int
    ) -> Generator[Phase[Any], None, Files]:
        """``order`` and ``blocks`` of the buckets with so many rows. Returns the blocks' files by bucket."""
        made = context.done(self.name, "members")
        by_rank = tasks.Order(self.config.order, context.job.seed)
        orders = [Task(Scope.BUCKET, b, {"members": made.groups(b)}, by_rank) for b in rows]
        yield listed("order", tasks.order, orders)
        ordered = context.done(self.name, "order")
        blocks = [
            task
            for b, count in rows.items()
            for task in _blocks(b, count, dim, made, ordered[paths.task_name(Scope.BUCKET, b)])
        ]
        yield listed("blocks", tasks.blocks, blocks)
        return _by_bucket(blocks, context.done(self.name, "blocks"))

    def _scores(self, context: Context) -> Phase[tasks.Scores]:
        roles = {"pairs": context.done(self.name, "pairs")}
        return range_phase(
            context,
            "scores",
            tasks.scores,
            roles,
            lambda parts: tasks.Scores(parts, self.config.signal),
        )


def _by_bucket(bucket_tasks: Sequence[Task[Any]], done: Done) -> Files:
    """Every bucket's files: its own, or those of its pieces."""
    files: Files = {}
    for task in bucket_tasks:
        files.setdefault(task.number, []).append(done[task.name])
    return files


def _blocks(
    bucket: int, rows: int, dim: int, made: Done, order: TableFile
) -> Iterator[Task[tasks.Blocks]]:
    """Tasks that lay a bucket's embeddings out in order, each VECTOR_BYTES of whole blocks."""
    block = tasks.BLOCK_ROWS
    each = max(1, bucket_counts.VECTOR_BYTES // (2 * dim * block)) * block
    inputs: dict[str, Sequence[Source]] = {
        "order": [order.slice()],
        "members": made.groups(bucket),
    }
    for piece, first in enumerate(range(0, rows, each)):
        positions = tasks.Blocks(dim, (first, min(first + each, rows)))
        yield Task(Scope.BUCKET, bucket, inputs, positions, piece)


def _pieces(
    bucket: int, order: TableFile, files: Sequence[TableFile], args: tasks.Spans
) -> Iterator[Task[tasks.Spans]]:
    """Tasks that together compare every pair of every cluster of a laid-out bucket."""
    blocks = [file.slice(group) for file in files for group in range(len(file.groups))]
    for piece, spans in enumerate(_dealt(order.notes["sizes"], SPAN_FLOP / (2 * args.dim))):
        first = spans[0].base // tasks.BLOCK_ROWS
        stop = -(-(spans[-1].base + spans[-1].stop) // tasks.BLOCK_ROWS)
        inputs = {"order": [order.slice()], "blocks": blocks[first:stop]}
        yield Task(Scope.BUCKET, bucket, inputs, replace(args, offset=first, spans=spans), piece)


def _dealt(sizes: Sequence[int], pairs: float) -> Iterator[list[tasks.Span]]:
    """Spans of all clusters, in order, about ``pairs`` comparisons a task."""
    spans: list[tasks.Span] = []
    base, work = 0, 0.0
    for size in sizes:
        step = tiles.piece(size)
        for start in range(0, size, step):
            spans.append(tasks.Span(base, size, start, min(start + step, size)))
            work += spans[-1].pairs
            if work >= pairs:
                yield spans
                spans, work = [], 0.0
        base += size
    if spans:
        yield spans
