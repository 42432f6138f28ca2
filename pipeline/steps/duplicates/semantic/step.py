"""Semantic duplicates (SemDeDup, Abbas et al. 2023): near-equal embeddings inside a cluster.

The similarity of each sample to its nearest earlier one does not depend on epsilon: it is stored for all, and
another epsilon decides again from what is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tamis.pipeline.algorithms.clusters import semantic, tiles
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.concepts import clustering, concepts
from tamis.pipeline.steps.duplicates.semantic import tasks as semantic_tasks
from tamis.pipeline.steps.duplicates.semantic.config import SEMANTIC_DUPLICATE
from tamis.pipeline.steps.duplicates.semantic.config import SemanticDuplicates as Config
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.exchange import numbers, range_starts, verdict_phase
from tamis.pipeline.steps.shared.parts import (
    embedding_named,
    nothing_reaches,
    part_task,
    range_name,
)
from tamis.pipeline.tables.part_files import Slice, TableFile
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Done, Phase, Task
from tamis.schemas.job import Job

OVERSIZE_BYTES = 512 << 20
"""Embeddings that no task holds: a bucket with more is laid out on storage, and compared in pieces."""

SPAN_FLOP = 4e12
"""What a task that compares a piece of a large bucket performs, about: a minute."""


class SemanticDuplicates(Step):
    """Clusters; ``members`` and ``pairs`` a bucket of clusters; ``scores`` a sample; ``doomed`` and ``verdict``.

    Between the first two, ``order`` and ``blocks`` of the buckets that are too large to be held.
    """

    version = 2

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name = config, config.name
        self.embedding = embedding_named(job, config.embedding, config.name)

    @property
    def signal(self) -> str:
        """The name of what is stored: the cosine to the nearest sample earlier in order."""
        return "semantic_similarity" if self.name == self.config.kind else f"{self.name}_similarity"

    def needs(self) -> Sequence[str]:
        """The embedding."""
        return [f"embedding:{self.embedding}"]

    def makes(self) -> Mapping[str, str]:
        """The similarity, as a signal."""
        return {f"signal:{self.signal}": "scores"}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Borrowed centroids are there.

        Raises:
            JobError, StateError: one line.
        """
        del inputs
        concepts.number(self.config, 0)

    def phases(self, context: Context) -> Iterator[Phase]:
        """See the class."""
        if not context.alive:
            raise nothing_reaches(self.name)
        dim = concepts.dimension(context, self.name, self.embedding)
        clusters = self.clusters(context.alive, dim)
        yield from concepts.phases(context, self.config, self.embedding, clusters)
        buckets = bucket_counts.of_clusters(context.alive, dim, clusters)
        spread = {"clusters": clusters, "buckets": buckets}
        yield Phase("members", semantic_tasks.members, self._member_tasks(context), spread)
        yield from self._compare(context, buckets, dim)
        compared = context.done(self.name, "pairs")
        ranges = [
            Task(range_name(number), {"pairs": compared.groups(number)}, {"parts": numbers(parts)})
            for number, parts in enumerate(context.ranges())
        ]
        yield Phase("scores", semantic_tasks.scores, ranges, {"signal": self.signal})
        # Partners are of the same cluster, and so of the same bucket.
        held = _by_bucket(compared)
        decided = [Task(_bucket(b), {"pairs": held[_bucket(b)]}) for b in range(buckets)]
        starts = {"starts": range_starts(context)}
        yield Phase(
            "doomed", semantic_tasks.doomed, decided, {"epsilon": self.config.epsilon, **starts}
        )
        yield verdict_phase(context, context.done(self.name, "doomed"), SEMANTIC_DUPLICATE)

    def clusters(self, samples: int, dim: int) -> int:
        """As the job says, or as the cost model chooses."""
        return concepts.number(self.config, semantic.auto_clusters(samples, dim).clusters)

    def _compare(self, context: Context, buckets: int, dim: int) -> Iterator[Phase]:
        """``pairs``, a task a bucket, or several for one that is too large to be held."""
        made = context.done(self.name, "members")
        ordered = {"which": self.config.which_to_keep, "seed": context.job.seed}
        rows = {b: sum(piece.rows for piece in made.groups(b)) for b in range(buckets)}
        large = {b: n for b, n in rows.items() if n * dim * 2 > OVERSIZE_BYTES}
        tasks = [
            Task(_bucket(b), {"members": made.groups(b)}, ordered) for b in rows if b not in large
        ]
        if large:
            order = [Task(_bucket(b), {"members": made.groups(b)}) for b in large]
            yield Phase("order", semantic_tasks.order, order, ordered)
            places = context.done(self.name, "order")
            laid = [task for b, n in large.items() for task in _layout(b, n, dim, made, places)]
            yield Phase("blocks", semantic_tasks.blocks, laid, {"dim": dim})
            blocks = _by_bucket(context.done(self.name, "blocks"))
            for b in large:
                tasks += _pieces(b, dim, places[_bucket(b)], blocks[_bucket(b)])
        settings = {"starts": range_starts(context), **clustering.on_device(self.config)}
        claimed = self.config.claim(context.job.resources)
        yield Phase("pairs", semantic_tasks.pairs, tasks, settings, claimed)

    def _member_tasks(self, context: Context) -> list[Task]:
        return [
            part_task(
                part,
                {
                    "assigned": [context.at(self.name, "assign", part)],
                    "embedding": [context.embedding(self.embedding, part)],
                    "ingest": [context.ingest(part)],
                    "drops": context.drops(part),
                },
                part=part.number,
            )
            for part in context.parts
        ]


def _bucket(number: int) -> str:
    return f"bucket-{number:05d}"


def _by_bucket(done: Done) -> dict[str, list[Slice]]:
    """Every bucket's files: its own, or those of its pieces."""
    found: dict[str, list[Slice]] = {}
    for task, file in done.files.items():
        found.setdefault(task.partition("-piece-")[0], []).append(Slice(file))
    return found


def _piece(bucket: int, number: int) -> str:
    return f"{_bucket(bucket)}-piece-{number:05d}"


def _layout(bucket: int, rows: int, dim: int, made: Done, places: Done) -> list[Task]:
    """Tasks that lay a bucket's embeddings out in order, each VECTOR_BYTES of whole blocks."""
    block = semantic_tasks.BLOCK_ROWS
    each = max(1, bucket_counts.VECTOR_BYTES // (2 * dim * block)) * block
    inputs = {"order": [Slice(places[_bucket(bucket)])], "members": made.groups(bucket)}
    return [
        Task(_piece(bucket, number), inputs, {"places": [first, min(first + each, rows)]})
        for number, first in enumerate(range(0, rows, each))
    ]


@dataclass(frozen=True)
class _Span:
    """Places of one cluster to be compared with those before them in it."""

    base: int  # the cluster's first place in its bucket
    size: int
    start: int
    stop: int

    @property
    def pairs(self) -> float:
        return (self.stop - self.start) * (self.stop + self.start) / 2


def _pieces(bucket: int, dim: int, order: TableFile, files: Sequence[Slice]) -> Iterator[Task]:
    """Tasks that together compare every pair of every cluster of a laid-out bucket."""
    laid = [Slice(held.file, group) for held in files for group in range(len(held.file.groups))]
    for number, spans in enumerate(_dealt(order.notes["sizes"], SPAN_FLOP / (2 * dim))):
        first = spans[0].base // semantic_tasks.BLOCK_ROWS
        stop = -(-(spans[-1].base + spans[-1].stop) // semantic_tasks.BLOCK_ROWS)
        yield Task(
            _piece(bucket, number),
            {"order": [Slice(order)], "blocks": laid[first:stop]},
            {
                "dim": dim,
                "offset": first,
                "spans": [[span.base, span.size, span.start, span.stop] for span in spans],
            },
        )


def _dealt(sizes: Sequence[int], pairs: float) -> Iterator[list[_Span]]:
    """Spans of all clusters, in order, about ``pairs`` comparisons a task."""
    held: list[_Span] = []
    base, work = 0, 0.0
    for size in sizes:
        step = tiles.piece(size)
        for start in range(0, size, step):
            held.append(_Span(base, size, start, min(start + step, size)))
            work += held[-1].pairs
            if work >= pairs:
                yield held
                held, work = [], 0.0
        base += size
    if held:
        yield held
