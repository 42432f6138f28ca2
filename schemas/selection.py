"""The steps that choose: how many samples are kept, and by which order. One model a selector."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from tamis.schemas.step import StepModel


class Clustered(StepModel):
    """What steps that cluster an embedding share."""

    clusters: int | Literal["auto"] = Field(
        "auto", description="concepts; auto: from the number of samples that reach the step"
    )
    embedding: str | None = Field(None, description="which embedding, where there are two")
    iterations: int = Field(20, ge=1, le=1000, description="k-means iterations over the sample")
    points_per_centroid: int = Field(256, ge=1, description="size of the k-means sample, a cluster")
    sample_bytes: int = Field(
        1 << 30,
        ge=1 << 20,
        description="bytes of the k-means sample as float32, at most: a larger one is cut to it",
    )
    full_iterations: int = Field(
        0,
        ge=0,
        le=1000,
        description="further Lloyd iterations over all samples; fewer where nothing moves any more",
    )
    centroids: str | None = Field(
        None,
        description="a finished run (or RUN#STEP) whose centroids are taken instead of training "
        "on a sample",
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu",
        description="where centroids are trained and assigned, and the members of a cluster compared: part of the "
        "result's identity",
    )

    @model_validator(mode="after")
    def _counts_something(self) -> Clustered:
        if isinstance(self.clusters, int) and self.clusters < 1:
            raise ValueError(f"clusters is {self.clusters}: at least 1")
        return self


def _share_or_count(value: object) -> object:
    if isinstance(value, float) and value.is_integer() and value > 1:
        return int(value)
    count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    share = isinstance(value, float) and 0 < value <= 1
    if not count and not share:
        raise ValueError(
            f"keep is {value}: a share in (0, 1], written with a point (1.0), or a count of at least 1"
        )
    return value


Keep = Annotated[int | float, BeforeValidator(_share_or_count)]


def budget(keep: float, whole: int) -> int:
    """How many samples ``keep`` asks for: the count, or the share of ``whole`` as written in decimal, rounded down."""
    return keep if isinstance(keep, int) else math.floor(whole * Fraction(repr(keep)))


def whole_of(of: Literal["reaching", "input"], reaching: int, total: int) -> int:
    """What a ``keep`` is a share of."""
    return reaching if of == "reaching" else total


class Chooser(BaseModel):
    """What selectors share: how many, and of what."""

    keep: Keep = Field(description="a share (0, 1], written with a point, or a count of samples")
    of: Literal["reaching", "input"] = Field(
        "reaching", description="a share of what reaches the step, or of all input samples"
    )


class Density(Clustered, Chooser):
    """Density-based pruning: a quota a concept from its complexity, the farthest from the centroid kept."""

    kind = "density"
    iterations: int = Field(100, ge=1, le=1000, description="k-means iterations over the sample")
    temperature: float = Field(
        0.1, gt=0, description="of the softmax over complexities; lower sets concepts further apart"
    )
    neighbours: int = Field(20, ge=1, description="nearest other centroids that d_inter averages")
    balance: float = Field(
        0.0, ge=0, le=1, description="share of an equal split that every concept gets for certain"
    )
    which: Literal["hard", "easy", "random"] = Field(
        "hard", description="kept first: farthest from the centroid, nearest, or by hash"
    )


class Prototypes(Clustered, Chooser):
    """Self-supervised prototypes (Sorscher et al. 2022): what lies farthest from its nearest centroid is kept."""

    kind = "prototypes"
    floor: float = Field(
        0.0, ge=0, le=1, description="share of an equal split that every cluster gets for certain"
    )


class Coverage(StepModel, Chooser):
    """Coverage-centric selection (Zheng et al. 2023): the hardest are dropped, the range of the rest is covered."""

    kind = "coverage"
    score: str = Field(description="the signal that says how hard a sample is")
    hard: Literal["high", "low"] = Field(
        "high", description="whether a high score is hard (EL2N), or a low one (AUM)"
    )
    beta: float = Field(0.0, ge=0, lt=1, description="share of the hardest, dropped first")
    strata: int = Field(
        50, ge=1, le=10_000, description="intervals of equal width that the scores are cut into"
    )


class Random(StepModel, Chooser):
    """A uniform choice; with `epochs`, a fresh one every epoch (RS2, Okanovic et al. 2023), and their union is kept."""

    kind = "random"
    epochs: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="choices, one uid list each: subsets/epoch-000.npy and so on",
    )


class Score(StepModel, Chooser):
    """Keep the best of a signal."""

    kind = "score"
    signal: str = Field(description="a signal, such as clip_similarity, or a column of the input")
    best: Literal["highest", "lowest"] = Field("highest", description="which values are kept first")
    ties: Literal["uid", "keep"] = Field(
        "uid",
        description="of equal values the smallest uids, to the exact count; or all (DataComp's rule: "
        "everything from the value at place share * samples on)",
    )


class Importance(StepModel, Chooser):
    """Importance resampling (DSIR, Xie et al. 2023): captions are drawn that look like a target's."""

    kind = "importance"
    target: str = Field(
        description="captions to look like: a parquet file, or a text file of one caption a line"
    )
    column: str | None = Field(
        None, description="the parquet file's column of captions; found by its alias by default"
    )
    buckets: int = Field(
        10_000,
        ge=2,
        le=10_000_000,
        description="buckets that words and pairs of words are hashed to",
    )
