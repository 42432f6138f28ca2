"""The schema of ``evaluation.json``: measures of models trained on chosen subsets, on pairs that none of them saw.

The same run, options and seeds give the same bytes on one class of processor.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

HEADLINE = "recall_at_10"
"""The first metric of tables and plots: the mean of both directions."""

GEOMETRIC = "geometric_recall_at_10"
"""The geometric mean of HEADLINE over the sources, in which a gain counts by its ratio: that of a hard source as much
as that of an easy one. Measured where there are several."""

METRICS = {
    "recall_at_1": "R@1",
    "recall_at_5": "R@5",
    "recall_at_10": "R@10",
    GEOMETRIC: "R@10, geometric",
    "median_rank": "median rank",
    "zero_shot": "zero-shot",
}
"""Metric -> its label. Retrieval is the mean of both directions, each of which has figures of its own too; and of
several sources the mean over them."""

EPOCHS = 5
"""Times that all pairs of the pool are seen by default: below, sizes can hardly be told apart."""

SIGNIFICANT = 0.05
"""Largest p of a significant paired test: 5 of 100 tests are significant by chance alone."""

RANDOM, DEDUPLICATED, FULL, OWN = "random", "deduplicated", "full", "run"
"""Names of the choices that others are compared with: at random from all pairs, at random from those that filters and
duplicate steps left, all pairs, and the pairs that the run kept."""


RARE, COMMON = "rare subjects", "common subjects"
"""Names of groups of test pairs: the third whose concepts have fewest pairs in the pool, and the others."""

_OF_GROUP = "@"

ALONE = "target alone"
"""Name of the training on a known target's pairs and no others."""

_WITH = "target + "


def with_target(selector: str) -> str:
    """Name of the training on a known target's pairs and what a selector chooses."""
    return f"{_WITH}{selector}"


_DISTILLED = ", distilled "


def distilled(selector: str, alpha: float) -> str:
    """Name of the training on what a selector chooses, and on what a teacher of all pairs says of it."""
    return f"{selector}{_DISTILLED}{alpha:g}"


def undistilled(selector: str) -> tuple[str, str]:
    """The name of the same training without a teacher, and alpha as it is written; "" where it has none."""
    name, _, alpha = selector.partition(_DISTILLED)
    return name, alpha


def random_beside(selector: str) -> str | None:
    """Name of the random choice that a selector's is compared with; None where no random one is like it."""
    if selector == ALONE:
        return None
    return with_target(RANDOM) if selector.startswith(_WITH) else RANDOM


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(_Record):
    """One seed's division of the pairs: ``tested + relatives + alike + undrawn + pool = pairs``."""

    seed: int
    pairs: int  # with an embedding of both sides, those of a foreign holdout included
    tested: int  # held out and measured on; no two of a source share a picture, a near-duplicate or a caption
    sources: dict[str, int]  # name of each source of test pairs -> how many of them
    relatives: int  # left out: linked to a tested pair, through others too, by picture, near-duplicate or caption
    alike: int  # left out: the picture's embedding lies within epsilon of a tested one's
    undrawn: int  # left out: where the test pairs are the same for all seeds, each draws a pool of its own
    pool: int  # the pairs that `full` trains on
    exchanged: int  # pairs of the pool that were given another one's caption
    candidates: (
        int  # pairs of the pool left by filters and duplicate steps: selectors choose from them
    )


class Comparison(_Record):
    """A paired comparison, seed by seed, with random pairs of the same number."""

    difference: float  # mean
    p: float | None  # of a two-sided paired t-test; None with one seed, or if no seed differs


class Figure(_Record):
    """One metric of one point, with a value a seed."""

    values: tuple[float, ...]
    mean: float
    spread: float  # standard deviation over the seeds (n - 1); 0 for one seed
    against_random: Comparison | None


class Point(_Record):
    """The figures of a selector's choice of one size, after a training of one length."""

    selector: str
    budget: float  # share of the pool
    steps: int
    pairs: tuple[int, ...]  # trained on, a seed
    figures: dict[str, Figure]

    @property
    def headline(self) -> Figure:
        """Figure of the metric HEADLINE."""
        return self.figures[HEADLINE]


class Training(_Record):
    """Settings of the training, equal for all subsets."""

    steps: int  # of several lengths the longest
    batch: int
    width: int  # dimensions of the shared space
    rate: float
    decay: float


class Evaluation(_Record):
    """All of ``evaluation.json``."""

    job: str
    version: Literal[2] = 2
    encoder: str
    student: str = (
        "two linear heads over the embeddings"  # what is trained on each subset, in words
    )
    holdout: str
    classes: str | None
    training: Training
    splits: tuple[Split, ...]
    points: tuple[Point, ...]
    notes: tuple[str, ...]  # missing measurements and the reason

    @property
    def lengths(self) -> list[int]:
        """The lengths of training that were measured, in steps."""
        return sorted({point.steps for point in self.points})

    def after(self, steps: int) -> Evaluation:
        """The same, of another length of training."""
        training = self.training.model_copy(update={"steps": steps})
        return self.model_copy(update={"training": training})

    def point(self, selector: str, budget: float) -> Point | None:
        """The point of a selector and budget; None if it was not measured."""
        return next((point for point in self.line(selector) if point.budget == budget), None)

    def line(self, selector: str) -> list[Point]:
        """A selector's points after ``training.steps``, in the order of their budgets."""
        own = (p for p in self.points if p.selector == selector and p.steps == self.training.steps)
        return sorted(own, key=lambda point: point.budget)

    @property
    def sources(self) -> list[str]:
        """Names of the sources of test pairs."""
        return list(self.splits[0].sources)

    @property
    def epochs(self) -> float:
        """The number of times that the training saw all pairs of the largest pool."""
        return self.training.steps * self.training.batch / max(split.pool for split in self.splits)

    @property
    def selectors(self) -> list[str]:
        """Names of the selectors, in the order of the command."""
        return list(dict.fromkeys(point.selector for point in self.points))

    @property
    def chance(self) -> float:
        """HEADLINE of a random ranking: the probability that the right one is among ten of a source's test pairs."""
        counts = [count for split in self.splits for count in split.sources.values()]
        return sum(min(1.0, 10 / count) for count in counts) / len(counts)

    @property
    def full(self) -> Point | None:
        """The point that trained on the whole pool; None if it was not measured."""
        return next(iter(self.line(FULL)), None)

    @property
    def groups(self) -> list[str]:
        """Names of the groups of test pairs that have figures of their own."""
        names = (name.partition(_OF_GROUP) for name in self.points[0].figures)
        return [group for metric, mark, group in names if mark and metric == HEADLINE]

    @staticmethod
    def of_group(metric: str, group: str) -> str:
        """The name of a metric's figure of one group of test pairs."""
        return f"{metric}{_OF_GROUP}{group}"

    @staticmethod
    def of_source(metric: str, source: str) -> str:
        """The name of a metric's figure of one source alone."""
        return f"{metric}/{source}"

    def to_json(self) -> bytes:
        """Bytes of the file."""
        return (self.model_dump_json(indent=1) + "\n").encode()
