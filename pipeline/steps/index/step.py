"""All embedded pictures laid out by concept, as an inverted file whose lists hold the vectors themselves.

Lists are row groups of about a megabyte, so that a search reads little more than the concepts that it probes. How many
of the nearest it then finds is measured, against all vectors, for some of the run's own pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tamis.pipeline.steps.concepts import concepts
from tamis.pipeline.steps.concepts.clustered_step import ClusteredStep
from tamis.pipeline.steps.concepts.concepts import dimension, sample_bound
from tamis.pipeline.steps.index import tasks
from tamis.pipeline.steps.index.config import Index as Config
from tamis.pipeline.steps.index.config import lists_of
from tamis.pipeline.steps.shared.config import nothing_reaches
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.sources import ByPart, Source
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task

VECTORS_BUNDLE = 32
"""Parts of a file of ``lists``: a task holds the embeddings of its parts, a third of a gigabyte at 512 dimensions."""


class Index(ClusteredStep[Config]):
    """Clusters; ``lists``; ``drawn``, ``queries``, ``neighbours`` and ``recall``."""

    passing = (*concepts.PASSING, "drawn", "neighbours")

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        if not context.alive:
            raise nothing_reaches(self.name)
        dim = dimension(context, self.name, self.embedding)
        clusters = concepts.number(self.config, self.config.concepts(context.alive, dim))
        yield from concepts.phases(context, self.config, self.embedding, clusters)
        assigned = context.at(self.name, "assign")
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "ingest": context.ingest(),
            "embedding": context.embedding(self.embedding),
            "assigned": assigned,
        }
        lists = lists_of(int(assigned.rows.sum()), dim, clusters)
        spread = EachPart(
            context.parts,
            inputs,
            tasks.Lists(clusters, lists),
            buckets=lists,
            bundle=VECTORS_BUNDLE,
        )
        yield Phase("lists", tasks.lay_out, spread)
        yield from self._recall(context, inputs)

    def _recall(
        self, context: Context, inputs: Mapping[str, ByPart | Sequence[ByPart]]
    ) -> Iterator[Phase[Any]]:
        wanted = min(self.config.queries, context.alive)
        drawing = tasks.Drawing(context.job.seed, sample_bound(wanted, context.alive))
        living = {
            "ingest": inputs["ingest"],
            "embedding": inputs["embedding"],
            "drops": context.drops(),
        }
        yield Phase("drawn", tasks.draw, EachPart(context.parts, living, drawing, buckets=1))
        taking = tasks.Taking(wanted)
        yield listed(
            "queries", tasks.take, [Task.whole("queries", self._whole(context, "drawn"), taking)]
        )
        queries = self._whole(context, "queries")
        each: EachPart[None] = EachPart(context.parts, inputs, shared=queries, together=True)
        yield Phase("neighbours", tasks.neighbours, each)
        compared = {
            **queries,
            **self._whole(context, "neighbours"),
            "centroids": context.done(self.name, "train").whole(),
        }
        yield listed("recall", tasks.measure, [Task.whole("recall", compared, None)])

    def _whole(self, context: Context, phase: str) -> dict[str, Sequence[Source]]:
        """All of a phase's tables, under its name."""
        return {phase: context.done(self.name, phase).whole()}
