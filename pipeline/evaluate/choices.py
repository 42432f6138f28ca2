"""The selectors that are compared, each a function from a pool to a subset: the steps' own maths and settings.

``random`` and ``full`` see the whole pool; all others choose among its *candidates*, what the run's filters and
duplicate steps left. ``deduplicated`` is a random choice of those: what is gained before anything is selected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import coverage, density, prototypes, random_choice, ranks
from tamis.pipeline.algorithms.choosing import score as scoring
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.evaluate.pairs import Pairs, concepts_of, embedding_of
from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.columns import centroid_rows
from tamis.pipeline.tables.part_files import Slice, TableFile
from tamis.schemas.evaluation import DEDUPLICATED, FULL, OWN, RANDOM
from tamis.schemas.selection import Coverage, Density, Prototypes, Score

Mask = npt.NDArray[np.bool_]
Which = Literal["hard", "easy", "random"]


class UnavailableError(Exception):
    """A selector cannot make this choice; the message says why."""


class TooManyError(UnavailableError):
    """There are not so many pairs to choose from."""


@dataclass(frozen=True)
class Settings:
    """How the run's own steps choose; of kinds that it has not, the defaults over its similarity signal."""

    density: Density
    prototypes: Prototypes
    coverage: Coverage
    score: Score
    seed: int

    @classmethod
    def of(cls, run: FinishedRun) -> Settings:
        """From the job of a finished run."""
        similarity = run.made_by(embedding_of(run).name, "signal")[0]
        chosen = cls(
            Density(keep=1.0),
            Prototypes(keep=1.0),
            Coverage(score=similarity, hard="low", keep=1.0),
            Score(signal=similarity, keep=1.0),
            run.manifest.job["seed"],
        )
        for step in reversed(run.steps):  # of two of a kind the first counts
            if isinstance(step, Density):
                chosen = replace(chosen, density=step)
            elif isinstance(step, Prototypes):
                chosen = replace(chosen, prototypes=step)
            elif isinstance(step, Coverage):
                chosen = replace(chosen, coverage=step)
            elif isinstance(step, Score):
                chosen = replace(chosen, score=step)
        return chosen

    @property
    def signals(self) -> list[str]:
        """What ``Pairs.signals`` has to hold, in this order."""
        return [self.score.signal, self.coverage.score]


def with_concepts(
    run: FinishedRun, pairs: Pairs, settings: Settings
) -> tuple[Pairs, npt.NDArray[np.float32]]:
    """The pairs with a concept each, and the centroids (K, d): the run's own, else trained on the candidates."""
    step = concepts_of(run)
    if step is not None:
        path = paths.table(step.name, "train", "centroids")
        file = TableFile(storage.join(run.root, path), "", (), (), 0)
        return pairs, centroid_rows(part_files.read(run.root, Slice(file)))
    rows = np.flatnonzero(pairs.candidate)
    hashes = order.hashed(pairs.uid[rows], settings.seed, "kmeans")
    clusters = kmeans.auto_clusters(len(rows))
    drawn = order.smallest(hashes, pairs.uid[rows], kmeans.sample_size(clusters, len(rows)))
    iterations = settings.density.iterations
    sample = pairs.image[rows[drawn]]
    centroids = kmeans.fit(sample, clusters, iterations, settings.seed).centroids
    cluster, similarity = kmeans.assign(pairs.image, centroids)
    return replace(pairs, cluster=cluster, distance=np.float32(1) - similarity), centroids


@dataclass(frozen=True)
class Choices:
    """Every selector over pools of one run."""

    settings: Settings
    centroids: npt.NDArray[np.float32]

    def __call__(self, name: str, pool: Pairs, count: int, seed: int) -> npt.NDArray[np.int64]:
        """The rows of ``pool`` that a selector takes, ascending.

        Args:
            name: one of ``NAMES``.
            pool: what there is to train on.
            count: how many; ``full`` and ``run`` have a size of their own.
            seed: of random choices; the others do not depend on it.

        Raises:
            UnavailableError: the selector has fewer to choose from, or its bounds do not allow the count.
        """
        if name == FULL:
            return np.arange(len(pool))
        if name == OWN:
            return np.flatnonzero(pool.kept)
        there = _open(name, pool)
        if count > self.most(name, pool):
            left = " less the hardest (beta)" if self.most(name, pool) < len(there) else ""
            raise TooManyError(
                f"{count:,} of {len(pool):,} pairs are asked for, and it chooses among {len(there):,}{left}"
            )
        try:
            return there[self._mask(name, pool.take(there), count, seed)]
        except density.InfeasibleBudget as error:
            raise UnavailableError(str(error)) from None

    def most(self, name: str, pool: Pairs) -> int:
        """The largest count that a selector with a budget can be asked for."""
        there = len(_open(name, pool))
        beta = self.settings.coverage.beta if name == "coverage" else 0.0
        return there - coverage.hardest_count(there, beta)

    def _mask(self, name: str, pool: Pairs, count: int, seed: int) -> Mask:
        if name in DENSITY:
            return self._density(pool, count, DENSITY[name] or self.settings.density.which)
        if name == "prototypes":
            clusters, floor = len(self.centroids), self.settings.prototypes.floor
            return prototypes.select(pool.cluster, pool.distance, pool.uid, count, clusters, floor)
        if name == "coverage":
            return self._coverage(pool, count)
        if name == "score":
            return self._score(pool, count)
        # Another epoch is independent of what `random` draws with this seed.
        return random_choice.select(pool.uid, count, seed, epoch=0 if name == RANDOM else 1)

    def _density(self, pool: Pairs, count: int, which: Which) -> Mask:
        asked = self.settings.density
        clusters = len(self.centroids)
        sums, sizes = density.intra_sums(pool.cluster, np.float32(1) - pool.distance, clusters)
        neighbours = max(1, min(asked.neighbours, clusters - 1))
        complexity = density.complexity(self.centroids, density.intra(sums, sizes), neighbours)
        quota = density.quotas(complexity, sizes, count, asked.temperature, asked.balance)
        rank = ranks.ranks(pool.cluster, pool.distance, pool.uid, which, self.settings.seed)
        chosen: Mask = rank <= quota[pool.cluster]
        return chosen

    def _score(self, pool: Pairs, count: int) -> Mask:
        asked = self.settings.score
        values = pool.signals[:, VALUED["score"]]
        return scoring.top(-values if asked.best == "lowest" else values, pool.uid, count)

    def _coverage(self, pool: Pairs, count: int) -> Mask:
        asked = self.settings.coverage
        values = pool.signals[:, VALUED["coverage"]]
        seeded = self.settings.seed
        return coverage.select(
            values, pool.uid, count, seeded, asked.beta, asked.hard, asked.strata
        )


def _open(name: str, pool: Pairs) -> npt.NDArray[np.int64]:
    """The rows that a selector with a budget chooses from."""
    there = np.arange(len(pool)) if name == RANDOM else np.flatnonzero(pool.candidate)
    if name in VALUED:
        there = there[np.isfinite(pool.signals[there, VALUED[name]])]
    return there


VALUED = {"score": 0, "coverage": 1}
"""Selectors by a signal -> its column in ``Pairs.signals``."""

DENSITY: dict[str, Which | None] = {
    "density": None,
    "density-hard": "hard",
    "density-random": "random",
    "density-easy": "easy",
}
"""Kinds of density-based pruning, by what a concept keeps first; None: as the job says."""

NAMES = (*DENSITY, RANDOM, DEDUPLICATED, "score", "prototypes", "coverage")
"""Selectors with a budget."""
