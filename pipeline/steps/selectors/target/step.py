"""Selection by likeness to a target, whose vectors a run, a file of vectors, or captions give."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import hash_file
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.target import tasks
from tamis.pipeline.steps.selectors.target.config import Target as Config
from tamis.pipeline.steps.selectors.target.tasks import Given, Judged, Keyed, Lot, Measured
from tamis.pipeline.steps.shared.origins import Origin, origin
from tamis.pipeline.steps.shared.over_embedding import OverEmbedding
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task
from tamis.schemas.errors import JobError

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
        if self.config.compared == "text":
            self.check_captions("compares captions", "say `side: image`, or embed captions too")
        self._origin()
        if self.config.measure == "concepts":
            self._given()

    def _origin(self) -> Origin:
        config = self.config
        most = config.most if config.measure == "nearest" else None
        return origin(
            self.name,
            config.path,
            self.embed,
            self.job.seed,
            config.compared,
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
        floor = 0
        if config.keep is not None:
            budget = config.budget(context.alive, context.total)
            floor = math.floor(budget * Fraction(repr(config.floor)))
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "values": context.at(name, "values"),
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        shared = {"target": context.done(name, "target").whole()}
        if floor:
            drawn = {role: inputs[role] for role in ("ingest", "drops")}
            yield Phase(
                f"{FLOOR}keyed", tasks.draw, EachPart(context.parts, drawn, Lot(self.job.seed))
            )
            yield from budget_cut.phases(context, name, [floor], FLOOR)
            inputs["lots"] = context.at(name, f"{FLOOR}keyed")
            shared["floor-cut"] = context.done(name, f"{FLOOR}cut").whole()
        judged = Judged(name, config.measure, config.least)
        if config.keep is not None:
            keyed = EachPart(context.parts, inputs, Keyed(name, bool(floor)), shared=shared)
            yield Phase("keyed", tasks.key, keyed)
            yield from budget_cut.phases(context, name, [budget - floor])
            inputs["keyed"] = context.at(name, "keyed")
            shared["cut"] = context.done(name, "cut").whole()
        yield Phase("verdict", tasks.decide, EachPart(context.parts, inputs, judged, shared=shared))

    def _measured(self, context: Context) -> Iterator[Phase[Any]]:
        """The phases up to ``values``."""
        config, name = self.config, self.name
        of, shared = self._origin(), {}
        claimed = self.embed.claim(self.job.resources) if of.kind == "captions" else None
        if config.measure == "concepts":
            given = Task.whole("centroids", {}, self._given())
            yield listed("centroids", tasks.take_centroids, [given])
            shared["centroids"] = context.done(name, "centroids").whole()
        read = {"nearest": tasks.gather, "moment": tasks.add_up, "concepts": tasks.vote}
        task = Task.whole("target", shared, of)
        yield listed("target", read[config.measure], [task], claimed)
        shared["target"] = context.done(name, "target").whole()
        inputs = {"embedding": context.embedding(self.embedding)}
        measured = Measured(name, config.measure, config.compared)
        yield Phase(
            "values", tasks.values, EachPart(context.parts, inputs, measured, shared=shared)
        )
