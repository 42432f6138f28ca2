"""Selection by likeness to a target, whose vectors a run, a file of vectors, or captions give."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tamis.pipeline.algorithms.shares import rounded_down
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import hash_file
from tamis.pipeline.steps.concepts.lloyd import grouped
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.target import influence_tasks, search_tasks, tasks
from tamis.pipeline.steps.selectors.target.config import Target as Config
from tamis.pipeline.steps.selectors.target.influence_tasks import Learning
from tamis.pipeline.steps.selectors.target.search_tasks import MOST_BYTES, Compared, Projected
from tamis.pipeline.steps.selectors.target.tasks import Given, Judged, Keyed, Lot, Measured
from tamis.pipeline.steps.shared import early_heads, reference_pairs
from tamis.pipeline.steps.shared.over_embedding import OverEmbedding
from tamis.pipeline.steps.shared.vector_sets import Side, VectorSet, vector_set
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase, listed, members_of
from tamis.pipeline.tasks.sources import ByPart, Source
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task
from tamis.schemas.errors import JobError
from tamis.schemas.resources import Claimed
from tamis.schemas.scope import Scope

ROWS_PER_CONCEPT = 10_000
MOST_GROUPED = 10_000_000
"""Rows over which a task adds up moments: so many for each concept, but no more than that in all."""

FLOOR = "floor-"
"""Before the names of the phases by which the floor is chosen."""


class Target(OverEmbedding[Config]):
    """``target`` holds what is needed of it, ``values`` is the signal; ``keyed``, ``cut`` and ``verdict`` choose."""

    def check(self, inputs: Sequence[InputFile]) -> None:
        """The target and the centroids are there, and the target fits the embedding.

        Raises:
            InputError, JobError, StateError: one line.
        """
        del inputs
        if self.config.measure == "influence":
            self.check_captions(
                "compares pairs", "use an encoder with a text tower, or give text embeddings"
            )
        elif self.config.compared == "text":
            self.check_captions("compares captions", "say `side: image`, or embed captions too")
        self._vectors()
        if self.config.by_concepts:
            given = self._given()
            if self.config.measure == "frechet":
                self._check_moments(given)

    def _check_moments(self, given: Given) -> None:
        concepts = tasks.concepts_in(given)
        needed = 8 * concepts * self.config.dimensions**2
        if needed > MOST_BYTES:
            most = math.isqrt(MOST_BYTES // (8 * concepts))
            raise JobError(
                f"{self.name}: moments of {concepts:,} concepts in {self.config.dimensions} dimensions take "
                f"{needed / 1e9:,.1f} GB, at most {MOST_BYTES / 1e9:g}: set `dimensions: {most}`, or give fewer "
                "centroids"
            )

    def _vectors(self) -> VectorSet:
        config = self.config
        side: Side = "both" if config.measure == "influence" else config.compared
        most = config.most if config.measure in ("nearest", "influence") else None
        return vector_set(
            self.name,
            config.path,
            self.embed,
            self.job.seed,
            side,
            most,
            config.query,
        )

    def _given(self) -> Given:
        """The centroids: those of a run are a table, whose path is found; others are a file of vectors."""
        assert self.config.centroids is not None, "the settings have been checked"
        path, _, step = self.config.centroids.partition("#")
        absolute = storage.absolute(path)
        if path.lower().endswith((".npy", ".npz")):
            storage.stat(absolute)
            digest = hash_file(absolute)[1].hex()
            return Given(digest, False, path=f"{absolute}#{step}" if step else absolute)
        tables = storage.join(absolute, paths.TABLES)
        found = {
            name: storage.join(absolute, paths.table(name, "train", "centroids"))
            for name in (storage.folders_in(tables) if storage.exists(tables) else [])
        }
        found = {name: table for name, table in found.items() if storage.exists(table)}
        if step not in found and (step or len(found) != 1):
            raise JobError(
                f"{self.name}: centroids: `{storage.redact(self.config.centroids)}` is no `.npy`, and no finished run "
                f"with one step that clusters (RUN#STEP names one of {', '.join(found) or 'none'})"
            )
        table = found[step] if step else next(iter(found.values()))
        return Given(hash_file(table)[1].hex(), True, path=table)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        config, name = self.config, self.name
        yield from self._measured(context)
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "values": context.at(name, "values"),
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        needed = "search" if config.measure == "frechet" else "target"
        shared: dict[str, Sequence[Source]] = {needed: context.done(name, needed).whole()}
        if config.keep is not None:
            yield from self._cut(context, inputs, shared)
        judged = Judged(name, config.measure, config.least)
        searched = config.keep is None and config.measure == "frechet"
        function = search_tasks.decide_by_search if searched else tasks.decide
        yield Phase(VERDICT, function, EachPart(context.parts, inputs, judged, shared=shared))

    def _cut(
        self,
        context: Context,
        inputs: dict[str, ByPart | Sequence[ByPart]],
        shared: dict[str, Sequence[Source]],
    ) -> Iterator[Phase[Any]]:
        """The phases that choose so many; what the verdict reads of them is added to ``inputs`` and ``shared``."""
        config, name = self.config, self.name
        budget = config.budget(context.alive, context.total)
        floor = rounded_down(config.floor, budget)
        if floor:
            drawn = {role: inputs[role] for role in ("ingest", "drops")}
            yield Phase(
                f"{FLOOR}keyed", tasks.draw, EachPart(context.parts, drawn, Lot(self.job.seed))
            )
            yield from budget_cut.phases(context, name, [floor], FLOOR)
            inputs["lots"] = context.at(name, f"{FLOOR}keyed")
            shared["floor-cut"] = context.done(name, f"{FLOOR}cut").whole()
        key = tasks.key_by_rank if config.measure == "frechet" else tasks.key
        keyed = EachPart(context.parts, inputs, Keyed(name, bool(floor)), shared=shared)
        yield Phase("keyed", key, keyed)
        yield from budget_cut.phases(context, name, [budget - floor])
        inputs["keyed"] = context.at(name, "keyed")
        shared["cut"] = context.done(name, "cut").whole()

    def _measured(self, context: Context) -> Iterator[Phase[Any]]:
        """The phases up to ``values``."""
        config, name = self.config, self.name
        of = self._vectors()
        measured = Measured(name, config.measure, config.compared)
        if config.measure == "influence":
            yield from self._learned(context, of)
            shared = {role: context.done(name, role).whole() for role in ("references", "target")}
            inputs = reference_pairs.inputs_of(context, self.embedding)
            each = EachPart(context.parts, inputs, measured, shared=shared)
            yield Phase("values", influence_tasks.influences, each)
            return
        shared = {}
        if config.by_concepts:
            given = Task.whole("centroids", {}, self._given())
            yield listed("centroids", tasks.take_centroids, [given])
            shared["centroids"] = context.done(name, "centroids").whole()
        claimed = self.embed.claim(self.job.resources) if of.kind == "captions" else None
        if config.measure == "frechet":
            yield from self._searched(context, of, shared["centroids"], claimed)
            shared["search"] = context.done(name, "search").whole()
        else:
            read = {"nearest": tasks.gather, "moment": tasks.add_up, "concepts": tasks.vote}
            task = Task.whole("target", shared, of)
            yield listed("target", read[config.measure], [task], claimed)
            shared["target"] = context.done(name, "target").whole()
        vectors = {"embedding": context.embedding(self.embedding)}
        yield Phase(
            "values", tasks.values, EachPart(context.parts, vectors, measured, shared=shared)
        )

    def _learned(self, context: Context, of: VectorSet) -> Iterator[Phase[Any]]:
        """``drawn``, ``references``, and ``target``: early heads with the target's gradients."""
        config = self.config
        early_heads.check_enough(self.name, context.alive)
        yield from reference_pairs.phases(
            context, self.name, self.embedding, config.references, config.trained
        )
        references = min(config.references, context.alive)
        learning = Learning(
            of, references, config.trained, config.runs, config.steps, self.job.seed
        )
        drawn = reference_pairs.drawn(context, self.name)
        yield listed("target", influence_tasks.learn, [Task.whole("target", drawn, learning)])

    def _searched(
        self, context: Context, of: VectorSet, centroids: Sequence[Source], claimed: Claimed | None
    ) -> Iterator[Phase[Any]]:
        """``target``, ``moments`` of the concepts, and ``search``."""
        name, config = self.name, self.config
        describing = Projected(of, config.dimensions)
        task = Task.whole("target", {}, describing)
        yield listed("target", search_tasks.describe, [task], claimed)
        given = {"centroids": centroids, "target": context.done(name, "target").whole()}
        concepts = sum(source.rows for source in centroids)
        rows = context.parts.rows
        least = min(MOST_GROUPED, ROWS_PER_CONCEPT * concepts)
        living = {"embedding": [context.embedding(self.embedding)], "drops": context.drops()}
        groups = [
            Task(
                Scope.RANGE,
                number,
                given,
                Compared(config.compared),
                rows=int(rows[parts.start : parts.stop].sum()),
                members=members_of(context.parts, living, parts.start, parts.stop),
            )
            for number, parts in enumerate(grouped(rows, least))
        ]
        yield listed("moments", search_tasks.moments, groups)
        every = {**given, "moments": context.done(name, "moments").whole()}
        yield listed("search", search_tasks.search, [Task.whole("search", every)])
