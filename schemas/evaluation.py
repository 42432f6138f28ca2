"""What ``evaluation.json`` holds: how models trained on chosen subsets do on pairs that none of them saw.

The same run, options and seeds give the same bytes on one class of processor.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

HEADLINE = "recall_at_10"
"""The metric that tables and plots show first: the mean of both directions."""

METRICS = {
    "recall_at_1": "R@1",
    "recall_at_10": "R@10",
    "median_rank": "median rank",
    "zero_shot": "zero-shot",
}
"""Metric -> how it is written. Retrieval is the mean of both directions; the directions stand beside it."""

SIGNIFICANT = 0.05
"""Below this a paired test is called significant; so many of a hundred are by chance alone."""

RANDOM, DEDUPLICATED, FULL, OWN = "random", "deduplicated", "full", "run"
"""What selectors are measured against: a uniform choice of all, one of what filters and duplicate steps left, and
everything; and what the run itself kept."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(_Record):
    """One seed's division of the pairs: ``tested + relatives + alike + pool = pairs``."""

    seed: int
    pairs: int  # with an embedding of both sides, those of a foreign holdout included
    tested: int  # held out and measured on; no two share a picture, a near-duplicate or a caption
    relatives: int  # left out: share a picture, near-duplicate or caption with a tested pair, or are chained to it
    alike: int  # left out: the picture's embedding lies within epsilon of a tested one's
    pool: int  # what `full` trains on
    candidates: (
        int  # of it what the run's filters and duplicate steps left: what selectors choose from
    )


class Against(_Record):
    """A paired comparison, seed by seed, with random pairs of the same number."""

    difference: float  # mean
    p: float | None  # of a two-sided paired t-test; None with one seed, or where no seed differs


class Figure(_Record):
    """One metric of one point, a value a seed."""

    values: tuple[float, ...]
    mean: float
    spread: float  # standard deviation over the seeds (n - 1); 0 for one seed
    against_random: Against | None


class Point(_Record):
    """What a selector's choice of one size came to."""

    selector: str
    budget: float  # share of the pool
    pairs: tuple[int, ...]  # trained on, a seed
    figures: dict[str, Figure]

    @property
    def headline(self) -> Figure:
        """The metric that is shown first."""
        return self.figures[HEADLINE]


class Training(_Record):
    """What is equal for all subsets."""

    steps: int
    batch: int
    width: int  # dimensions of the shared space
    rate: float
    decay: float


class Evaluation(_Record):
    """The whole file."""

    job: str
    version: Literal[1] = 1
    encoder: str
    holdout: str
    classes: str | None
    training: Training
    splits: tuple[Split, ...]
    points: tuple[Point, ...]
    notes: tuple[str, ...]  # what could not be measured, and why

    def point(self, selector: str, budget: float) -> Point | None:
        """One point, if it was measured."""
        there = (p for p in self.points if p.selector == selector and p.budget == budget)
        return next(there, None)

    def line(self, selector: str) -> list[Point]:
        """A selector's points by budget."""
        return sorted((p for p in self.points if p.selector == selector), key=lambda p: p.budget)

    @property
    def selectors(self) -> list[str]:
        """In the order in which they were asked for."""
        return list(dict.fromkeys(point.selector for point in self.points))

    @property
    def chance(self) -> float:
        """The headline metric of a model that knows nothing: the right one is among ten of those tested by luck."""
        shares = [min(1.0, 10 / split.tested) for split in self.splits]
        return sum(shares) / len(shares)

    @property
    def full(self) -> Point | None:
        """Trained on the whole pool."""
        return next((point for point in self.points if point.selector == FULL), None)

    def to_json(self) -> bytes:
        """As it is written."""
        return (self.model_dump_json(indent=1) + "\n").encode()
