"""Density-based pruning (Abbas et al., ICLR 2024): a quota a concept from its complexity.

The paper keeps the hardest of each concept, which is ``which: hard``. The ranks do not depend on the budget, nor the
sums on the temperature: another ``keep`` solves the quotas again and compares stored ranks with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.choosing import density
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.concepts import clustering, concepts, ranking
from tamis.pipeline.steps.concepts.clustered_step import ClusteredStep
from tamis.pipeline.steps.selectors.density.config import OVER_QUOTA
from tamis.pipeline.steps.selectors.density.config import Density as Config
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.tables.sids import sid_of
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import JobError

DEFAULT_NEIGHBOURS = Config.model_fields["neighbours"].default
"""What stands in a job that says nothing: a stored job states every value, so it cannot be told from one that does."""


@dataclass(frozen=True)
class Membership:
    """Arguments of ``sums``."""

    clusters: int


@dataclass(frozen=True)
class QuotaSettings:
    """Arguments of ``quotas``."""

    clusters: int
    budget: int  # samples to keep in all
    neighbours: int
    temperature: float
    balance: float
    neighbours_asked: int | None = None  # where there are too few clusters for what the job says


class Density(ClusteredStep[Config]):
    """Concepts; ``sums`` and ``quotas`` a cluster; ``members``, ``ranked`` and ``places`` a sample; ``verdict``."""

    version = 3
    passing = (*concepts.PASSING, *ranking.PASSING)

    def makes(self) -> Mapping[Product, str]:
        """Each sample's place in its concept."""
        return {product.place(self.name): "places"}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Borrowed centroids and vectors of captions are there, and there are more clusters than neighbours.

        Raises:
            JobError, StateError: one line.
        """
        super().check(inputs)
        if self.config.centroids is not None or self.config.clusters != "auto":
            self._neighbours(concepts.number(self.config, 0))

    def _neighbours(self, clusters: int) -> int:
        """Neighbours of a cluster: as the job says, but by default never more than there are."""
        neighbours = self.config.neighbours
        chosen = (self.config.clusters, neighbours) != ("auto", DEFAULT_NEIGHBOURS)
        if chosen and 1 < clusters <= neighbours:
            raise JobError(
                f"{self.name}: {neighbours} neighbours of each of {clusters} clusters: a cluster has only "
                f"{clusters - 1} others: set `neighbours` to at most {clusters - 1}, or more clusters"
            )
        return min(neighbours, clusters - 1)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        clusters = concepts.number(self.config, kmeans.auto_clusters(context.alive))
        self._neighbours(clusters)
        budget = self.config.budget(context.alive, context.total)
        yield from concepts.phases(context, self.config, self.embedding, clusters)
        living = ranking.living_inputs(context, self.name)
        members = EachPart(context.parts, living, Membership(clusters), together=True)
        yield Phase("sums", sums, members)
        yield self._quotas(context, clusters, budget)
        yield from ranking.phases(context, self.name, self.config.which)
        solution = {"quotas": context.done(self.name, "quotas").whole()}
        placed = {"places": context.at(self.name, "places")}
        yield Phase(VERDICT, decide, EachPart(context.parts, placed, shared=solution))

    def _quotas(self, context: Context, clusters: int, budget: int) -> Phase[QuotaSettings]:
        inputs = {
            "sums": context.done(self.name, "sums").whole(),
            "centroids": context.done(self.name, "train").whole(),
        }
        settings = self.settings(clusters, budget)
        return listed("quotas", quotas, [Task.whole("clusters", inputs, settings)])

    def settings(self, clusters: int, budget: int) -> QuotaSettings:
        """The settings that, with sums and centroids, determine the quotas."""
        asked, neighbours = self.config.neighbours, self._neighbours(clusters)
        return QuotaSettings(
            clusters,
            budget,
            neighbours,
            self.config.temperature,
            self.config.balance,
            asked if neighbours < min(asked, clusters) else None,
        )


def sums(io: TaskIo[Membership]) -> Iterator[pa.Table]:
    """(cluster, distance_sum in units of 2^-28, size) of the clusters that a bundle has members of."""
    distance, size = np.zeros((2, io.args.clusters), np.int64)
    for part in io.parts():
        assigned = ranking.living(part)
        gaps, counts = density.intra_sums(
            assigned["cluster"].to_numpy(), assigned["similarity"].to_numpy(), io.args.clusters
        )
        distance += gaps
        size += counts
    present = np.flatnonzero(size)
    yield pa.table(
        {
            "cluster": present.astype(np.int32),
            "distance_sum": distance[present],
            "size": size[present],
        }
    )


def quotas(io: TaskIo[QuotaSettings]) -> Iterator[pa.Table]:
    """One row a cluster: size, d_intra, d_inter, complexity, quota.

    Raises:
        JobError: no quotas within the bounds sum to the budget.
    """
    args, count = io.args, io.args.clusters
    distance, size = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for bundle in io.stream("sums"):
        # A bundle has each cluster once, so plain indexing adds every row.
        distance[bundle["cluster"].to_numpy()] += bundle["distance_sum"].to_numpy()
        size[bundle["cluster"].to_numpy()] += bundle["size"].to_numpy()
    (piece,) = io.slices("centroids")
    if args.neighbours_asked is not None:
        io.notes |= {"neighbours": args.neighbours, "neighbours_asked": args.neighbours_asked}
    yield solved(io.step, args, distance, size, clustering.centroids(io.root, piece))


def solved(
    step: str,
    settings: QuotaSettings,
    distance: npt.NDArray[np.int64],
    size: npt.NDArray[np.int64],
    centroids: npt.NDArray[np.float32],
) -> pa.Table:
    """The table of ``quotas``, from each cluster's sum of distances and size.

    Raises:
        JobError: no quotas within the bounds sum to the budget.
    """
    d_intra = density.intra(distance, size)
    d_inter = density.inter(centroids, settings.neighbours)
    complexity = d_inter * d_intra
    try:
        quota = density.quotas(
            complexity, size, settings.budget, settings.temperature, settings.balance
        )
    except density.InfeasibleBudget as error:
        raise JobError(f"{step}: {error}") from None
    return pa.table(
        {
            "cluster": np.arange(settings.clusters, dtype=np.int32),
            "size": size,
            "d_intra": d_intra,
            "d_inter": d_inter,
            "complexity": complexity,
            "quota": quota,
        }
    )


def decide(io: TaskIo[None]) -> Iterator[pa.Table]:
    """The samples of one part whose rank is beyond their concept's quota.

    The notes hold ``last``: (cluster, sid) of the samples that are the last that their concepts keep.
    """
    table = ranking.with_quotas(io.read("places"), io.read("quotas", ["quota"]))
    last = table.filter(pc.fill_null(pc.equal(table["rank"], table["quota"]), False))
    io.notes["last"] = [[row["cluster"], sid_of(io.part, row["row"])] for row in last.to_pylist()]
    over = ranking.over_quota(table)
    rule: list[Any] = ["quota"] * over.num_rows
    yield drops(
        io,
        over["row"].to_numpy(),
        OVER_QUOTA,
        rule=rule,
        value=over["rank"],
        bound=over["quota"],
    )
