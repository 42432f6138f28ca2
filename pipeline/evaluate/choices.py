"""The selectors that are compared, each a function from a pool to a subset: the steps' own maths and settings.

``random`` and ``full`` see the whole pool; all others choose among its *candidates*, what the run's filters and
duplicate steps left. ``deduplicated`` is a random choice of those: what is gained before anything is selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import random_choice
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.evaluate.pairs import Pairs, concepts_of, embedding_of
from tamis.pipeline.steps.selectors.choice import InfeasibleError, Mask, Pool, StepChoice
from tamis.pipeline.steps.selectors.config import count_of
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.columns import centroid_rows
from tamis.pipeline.tasks.product import Kind
from tamis.schemas.errors import JobError
from tamis.schemas.evaluation import DEDUPLICATED, FULL, OWN, RANDOM
from tamis.schemas.registry import STEPS, choice_class, configuration
from tamis.schemas.step import StepModel

LINK, AMOUNT = ">", ":"
"""Between the selectors of a chain, and before the share that one keeps: ``score:0.5>density``."""


@dataclass(frozen=True)
class Chain:
    """Selectors one after another: ``filters``, each with the share that it keeps, then the one with the budget."""

    filters: tuple[tuple[str, float], ...]
    last: str

    @classmethod
    def parse(cls, text: str) -> Chain:
        """Read a chain, or the name of one selector.

        Raises:
            ValueError: one line on how it is written.
        """
        *filters, last = text.split(LINK)
        found = []
        for part in filters:
            name, mark, share = part.partition(AMOUNT)
            try:
                kept = float(share)
            except ValueError:
                kept = 0.0
            if not mark or not 0 < kept < 1:
                raise ValueError(f"`{part}` keeps a share, between 0 and 1: {name}:0.5>{last}")
            found.append((name, kept))
        if AMOUNT in last:
            name = last.partition(AMOUNT)[0]
            raise ValueError(f"`{last}` is the last, whose size is the budget's: write {name}")
        return cls(tuple(found), last)

    @property
    def names(self) -> list[str]:
        """All of its selectors."""
        return [*(name for name, _ in self.filters), self.last]


class UnavailableError(Exception):
    """A selector cannot make this choice; the message gives the reason."""


class TooManyError(UnavailableError):
    """The count exceeds the pairs to choose from."""


def names() -> list[str]:
    """Selectors with a budget: the steps that can choose in memory, their variants, and two random ones."""
    found = [RANDOM, DEDUPLICATED]
    for kind in STEPS:
        made = choice_class(kind)
        if made is not None:
            found += [kind, *(f"{kind}-{variant}" for variant in made.variants)]
    return found


class Settings:
    """The choices of steps, by the selector's name: its kind, of two of a kind the first's, or the step's own name."""

    def __init__(self, *steps: StepModel, seed: int, similarity: str = "") -> None:
        """``similarity``: the signal of how well picture and caption fit, of the embedding that is trained on.

        ``unnamed``: selectors, by kind and by name, without a choice in memory.
        """
        self.seed, self.similarity = seed, similarity
        kinds = {
            *names(),
            FULL,
            OWN,
        }  # what they mean does not depend on the names of a run's steps
        self.choices: dict[str, StepChoice[Any]] = {}
        self.unnamed = {kind for kind in STEPS if _only_runs(configuration(kind))}
        for step in steps:
            made = choice_class(step.kind)
            if made is None:
                if _only_runs(type(step)):
                    self.unnamed.add(step.name)
                continue
            if step.name not in kinds:
                self.choices[step.name] = made(step, seed)
            if step.kind in self.choices:
                continue
            self.choices[step.kind] = made(step, seed)
            for variant, changed in made.variants.items():
                settings = step.model_copy(update=dict(changed))
                self.choices[f"{step.kind}-{variant}"] = made(settings, seed)

    @classmethod
    def of(cls, run: FinishedRun) -> Settings:
        """Choices of a finished run's own steps; of kinds that it has not, the defaults over its similarity signal."""
        similarity = run.made_by(embedding_of(run).name, Kind.SIGNAL)[0]
        made = filter(None, map(choice_class, STEPS))
        defaults = filter(None, (choice.default(similarity) for choice in made))
        return cls(*run.steps, *defaults, seed=run.seed, similarity=similarity)

    def check(self, selectors: Sequence[str]) -> None:
        """Check that the run has the steps that selectors without default settings need.

        Raises:
            JobError: it lacks one.
        """
        for name in selectors:
            if name not in self.choices and name in STEPS and choice_class(name) is not None:
                raise JobError(
                    f"--against {name}: the run has no step `{name}`, whose stored values are compared: add it to the "
                    "job (with `keep: 1.0` it drops nothing) and run it again"
                )

    @property
    def signals(self) -> list[str]:
        """The columns of ``Pairs.signals``, in order."""
        read = (choice.signal for choice in self.choices.values())
        return list(dict.fromkeys(signal for signal in read if signal is not None))

    def column(self, signal: str) -> int | None:
        """Its column in ``Pairs.signals``; None if no selector reads it."""
        return self.signals.index(signal) if signal in self.signals else None


def _only_runs(step: type[StepModel]) -> bool:
    """True of a selector that chooses in a run alone."""
    selector = step.selects or ".selectors." in step.__module__
    return selector and choice_class(step.kind) is None


def with_concepts(
    run: FinishedRun, pairs: Pairs, settings: Settings
) -> tuple[Pairs, npt.NDArray[np.float32]]:
    """The pairs with a concept each, and the centroids (K, d): the run's own, else trained on the candidates."""
    step = concepts_of(run)
    if step is not None:
        path = paths.table(step.name, "train", "centroids")
        return pairs, centroid_rows(part_files.read_file(run.root, path))
    rows = np.flatnonzero(pairs.candidate)
    hashes = order.hashed(pairs.uid[rows], settings.seed, "kmeans")
    clusters = kmeans.auto_clusters(len(rows))
    drawn = order.smallest(hashes, pairs.uid[rows], kmeans.sample_size(clusters, len(rows)))
    iterations = settings.choices["density"].config.iterations
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
            name: one of ``names``, a chain of them, ``full`` or ``run``.
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
        name, pool = self._after_filters(name, pool, seed)
        rows = self._eligible(name, pool)
        if count > self._most(name, pool):
            less = self._most(name, pool) < len(rows)
            refused = f" less {self.settings.choices[name].refuses}" if less else ""
            raise TooManyError(
                f"{count:,} of {len(pool):,} pairs are asked for, and it chooses among {len(rows):,}{refused}"
            )
        try:
            return rows[self._mask(name, pool.take(rows), count, seed)]
        except InfeasibleError as error:
            raise UnavailableError(str(error)) from None

    def most(self, name: str, pool: Pairs, seed: int = 0) -> int:
        """The largest count that a selector with a budget, or a chain, can be asked for."""
        return self._most(*self._after_filters(name, pool, seed))

    def _after_filters(self, name: str, pool: Pairs, seed: int) -> tuple[str, Pairs]:
        """The last selector of a chain, and the pool with what its filters leave as candidates."""
        chain = Chain.parse(name)
        for filtering, share in chain.filters:
            count = count_of(share, int(pool.candidate.sum()))
            alive = np.zeros(len(pool), dtype=bool)
            # A random choice inside a chain is one of what reaches it, not of the whole pool.
            alive[self(_inside(filtering), pool, count, seed)] = True
            pool = replace(pool, candidate=alive)
        return (_inside(chain.last) if chain.filters else chain.last), pool

    def _most(self, name: str, pool: Pairs) -> int:
        rows = len(self._eligible(name, pool))
        choice = self.settings.choices.get(name)
        return rows if choice is None else choice.most(rows)

    def _mask(self, name: str, pool: Pairs, count: int, seed: int) -> Mask:
        choice = self.settings.choices.get(name)
        if choice is not None:
            signal = self._signal(choice, pool)
            samples = Pool(pool.uid, pool.cluster, pool.distance, signal, self.centroids)
            return choice.select(samples, count)
        # Another epoch is independent of what `random` draws with this seed.
        return random_choice.select(pool.uid, count, seed, epoch=0 if name == RANDOM else 1)

    def _eligible(self, name: str, pool: Pairs) -> npt.NDArray[np.int64]:
        """The rows that a selector with a budget chooses from."""
        if name == RANDOM:
            return np.arange(len(pool))
        rows = np.flatnonzero(pool.candidate)
        choice = self.settings.choices.get(name)
        return rows if choice is None else rows[np.isfinite(self._signal(choice, pool)[rows])]

    def _signal(self, choice: StepChoice[Any], pool: Pairs) -> npt.NDArray[np.float64]:
        """The signal that the selector reads, of each pair; zeros if it reads none."""
        if choice.signal is None:
            return np.zeros(len(pool))
        return pool.signals[:, self.settings.signals.index(choice.signal)]


def _inside(name: str) -> str:
    """The selector that a name stands for inside a chain."""
    return DEDUPLICATED if name == RANDOM else name
