"""Self-supervised prototypes (Sorscher et al., NeurIPS 2022): what is farthest from its nearest centroid is kept.

Inside a cluster this keeps a prefix of the order by distance, so a cluster has a quota, as in density: the ledger
shows each sample's rank against it. The verdict gives the distance against that of the last that was kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import prototypes
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.steps.concepts import concepts, ranking
from tamis.pipeline.steps.concepts.clustered_step import ClusteredStep
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.config import NOT_CHOSEN
from tamis.pipeline.steps.selectors.prototypes.config import Prototypes as Config
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task, TaskIo

CHOICE = "choice-"
"""Before the names of the phases that choose, for places have phases of the same names."""


@dataclass(frozen=True)
class Floor:
    """Arguments of ``key``."""

    floor: int  # samples that each cluster keeps for certain


@dataclass(frozen=True)
class Counting(Floor):
    """Arguments of ``kept``."""

    clusters: int


@dataclass(frozen=True)
class Clusters:
    """Arguments of ``quotas``."""

    clusters: int


class Prototypes(ClusteredStep[Config]):
    """Concepts; ``places``; ``keyed`` and ``cut`` over what no floor guarantees; ``quotas``, ``verdict``."""

    version = 3
    passing = (*concepts.PASSING, *ranking.PASSING)

    def makes(self) -> Mapping[Product, str]:
        """Each sample's place in its cluster."""
        return {product.place(self.name): "places"}

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        clusters = concepts.number(self.config, kmeans.auto_clusters(context.alive))
        budget = self.config.budget(context.alive, context.total)
        floor = Floor(prototypes.floor_count(budget, clusters, self.config.floor))
        yield from concepts.phases(context, self.config, self.embedding, clusters)
        yield from ranking.phases(context, self.name, "hard")
        placed = {"places": context.at(self.name, "places"), "ingest": context.ingest()}
        yield Phase(f"{CHOICE}keyed", key, EachPart(context.parts, placed, floor))
        open_to_all = budget_cut.have_key(context, self.name, f"{CHOICE}keyed")
        wanted = budget - (context.alive - open_to_all)
        yield from budget_cut.phases(context, self.name, [wanted], CHOICE)
        yield from self._verdict(context, floor, clusters)

    def _verdict(self, context: Context, floor: Floor, clusters: int) -> Iterator[Phase[Any]]:
        """The phases ``quotas`` and ``verdict``."""
        cut = context.done(self.name, f"{CHOICE}cut").whole()
        places = {"places": context.at(self.name, "places")}
        chosen = {**places, "keyed": context.at(self.name, f"{CHOICE}keyed")}
        counting = Counting(floor.floor, clusters)
        counts = EachPart(context.parts, chosen, counting, shared={"cut": cut}, together=True)
        yield Phase("kept", kept, counts)
        every = {"kept": context.done(self.name, "kept").whole()}
        yield listed("quotas", quotas, [Task.whole("clusters", every, Clusters(clusters))])
        shared = {"quotas": context.done(self.name, "quotas").whole(), "cut": cut}
        yield Phase(VERDICT, decide, EachPart(context.parts, places, shared=shared))


def key(io: TaskIo[Floor]) -> Iterator[pa.Table]:
    """The living samples of one part that no floor guarantees, by distance."""
    table = io.read("places", ["row", "rank", "distance"])
    table = table.filter(pc.fill_null(pc.greater(table["rank"], io.args.floor), False))
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(table["row"].combine_chunks())
    keys = order.descending(table["distance"].to_numpy())
    yield budget_cut.keyed(table["row"].to_numpy(), keys, uid)


def kept(io: TaskIo[Counting]) -> Iterator[pa.Table]:
    """(cluster, size, quota): of a bundle's clusters the living samples, and those that are kept."""
    count = io.args.clusters
    size, quota = np.zeros((2, count), np.int64)
    for part in io.parts():
        ranks = part.read("places", ["row", "cluster", "rank"])
        ranks = ranks.filter(pc.is_valid(ranks["rank"]))
        keyed = part.read("keyed").combine_chunks()
        chosen = keyed["row"].to_numpy()[budget_cut.passes(keyed, budget_cut.read_cut(part))]
        passing = np.isin(ranks["row"].to_numpy(), chosen)
        passing |= ranks["rank"].to_numpy() <= io.args.floor
        cluster = ranks["cluster"].to_numpy()
        size += np.bincount(cluster, minlength=count)
        quota += np.bincount(cluster[passing], minlength=count)
    present = np.flatnonzero(size)
    yield pa.table(
        {"cluster": present.astype(np.int32), "size": size[present], "quota": quota[present]}
    )


def quotas(io: TaskIo[Clusters]) -> Iterator[pa.Table]:
    """(cluster, size, quota): one row a cluster, over all bundles."""
    count = io.args.clusters
    columns = {"size": np.zeros(count, np.int64), "quota": np.zeros(count, np.int64)}
    for bundle in io.stream("kept"):
        for name, total in columns.items():
            total[bundle["cluster"].to_numpy()] += bundle[name].to_numpy()
    yield pa.table({"cluster": np.arange(count, dtype=np.int32), **columns})


def decide(io: TaskIo[None]) -> Iterator[pa.Table]:
    """The samples of one part beyond what their cluster keeps: nearer than the last that the cut kept.

    Where the floors take the whole budget there is no cut, and a sample's rank stands against its quota.
    """
    placed = ranking.with_quotas(io.read("places"), io.read("quotas", ["quota"]))
    table = ranking.over_quota(placed)
    count = table.num_rows
    cut = budget_cut.read_cut(io)
    if cut.exists[0]:
        rule, value = "distance", table["distance"]
        bound = np.repeat(order.from_descending(cut.key), count)
    else:
        rule, value, bound = "quota", table["rank"], table["quota"]
    yield drops(
        io,
        table["row"].to_numpy(),
        NOT_CHOSEN,
        rule=[rule] * count,
        value=value,
        bound=bound,
    )
