"""Settings that all steps share that cluster an embedding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tamis.schemas.resources import Claimed, Resources
from tamis.schemas.step import Change, StepModel, Width

POOL_BYTES = 64 << 20
"""Bytes of centroids from which on a pool of workers holds them."""


class Clustered(StepModel):
    """Settings of a step that clusters an embedding."""

    training: ClassVar[tuple[str, ...]] = (
        "clusters",
        "embedding",
        "iterations",
        "points_per_centroid",
        "sample_bytes",
        "full_iterations",
        "centroids",
    )
    compares_members: ClassVar[bool] = False
    """True if members of a cluster are compared pair by pair: `clusters: auto` then weighs the cost of that."""

    clusters: int | Literal["auto"] = Field(
        "auto",
        description="concepts, at least 1; or auto: from the number of samples that reach the step",
    )
    embedding: str | None = Field(
        None,
        examples=["embed"],
        description="which embedding, where there are two; by default the only one",
    )
    iterations: int = Field(20, ge=1, le=1000, description="k-means iterations over the sample")
    points_per_centroid: int = Field(
        256, ge=1, description="samples a cluster that k-means trains on"
    )
    sample_bytes: int = Field(
        1 << 30,
        ge=1 << 20,
        description="bytes of the k-means sample as float32, at most: a larger one is cut to it",
    )
    full_iterations: int = Field(
        0,
        ge=0,
        le=1000,
        description="further iterations over all samples; fewer where nothing moves any more",
    )
    centroids: str | None = Field(
        None,
        examples=["runs/earlier"],
        description="a finished run (or RUN#STEP) whose centroids are taken instead of training on a sample; none by "
        "default",
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

    @property
    def both_sides(self) -> bool:
        """Whether the vectors of captions are clustered with those of pictures."""
        return False

    @property
    def clustered_embedding(self) -> str | None:
        """The embedding that the settings name."""
        return self.embedding

    @property
    def modules(self) -> tuple[str, ...]:
        """torch, which computes on GPUs."""
        return ("torch",) if self.device == "cuda" else ()

    def concepts(self, samples: int, dim: int) -> int:
        """The number of concepts if ``samples`` of ``dim`` dimensions reach the step; reads no borrowed centroids."""
        from tamis.pipeline.algorithms.clusters import kmeans, semantic

        if self.clusters != "auto":
            return self.clusters
        if self.compares_members:
            return semantic.auto_clusters(max(1, samples), max(1, dim)).clusters
        return kmeans.auto_clusters(max(1, samples))

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """The number that ``clusters: auto`` stands for, with the cost if that decides it."""
        if self.clusters == "auto":
            yield self._foreseen(samples, width)
        yield from super().notes(samples, width)

    def _foreseen(self, samples: int | None, width: Width) -> str:
        if samples is None:
            return "clusters: auto is chosen once ingest has counted the samples"
        dim = width(self.embedding) if self.compares_members else 0
        if dim is None:
            return "clusters: auto is chosen once the embeddings' dimension is known"
        every, half = (self._auto(max(1, reaching), dim) for reaching in (samples, samples // 2))
        return f"clusters: auto is {every} if all {samples:,} samples reach it, {half} if half of them do"

    def _auto(self, samples: int, dim: int) -> str:
        number = f"{self.concepts(samples, dim):,}"
        if not self.compares_members:
            return number
        from tamis.pipeline.algorithms.clusters import semantic

        chosen = semantic.auto_clusters(samples, dim)
        train, assign, compare = (
            f"{cost / 1e12:,.3g}" for cost in (chosen.train, chosen.assign, chosen.compare)
        )
        return f"{number} ({train} TFLOP to train, {assign} to assign, {compare} to compare)"

    def scaled(self, share: float) -> Self:
        """The settings for a share of the samples: a number of concepts in proportion, unless they are borrowed."""
        scaled = super().scaled(share)
        if scaled.clusters == "auto" or scaled.centroids is not None:
            return scaled
        return scaled.model_copy(update={"clusters": max(1, round(scaled.clusters * share))})

    def without_gpu(self) -> Self:
        """The settings without a GPU."""
        return super().without_gpu().model_copy(update={"device": "cpu"})

    def claim(self, machine: Resources, centroid_bytes: int = 0) -> Claimed:
        """The claim of a task that works with centroids: with ``device: cuda`` a GPU, in a pool of workers.

        On processors a pool is no faster: the processes of plain tasks cache the centroids as well, and have started
        already (on two cores, 40 parts of 5,000 x 512: 2.1 s of work with 500 centroids and 23 s with 8,000 either way,
        and 3 to 8 s more for the start of a pool). But a pool's workers end with the phase, and only that frees their
        memory: so centroids of POOL_BYTES or more get a pool. A part of 10,000 samples then takes seconds, and the
        start of a worker no longer than one or two parts.
        """
        if self.device == "cuda":
            return Claimed(gpus=machine.gpus or 1.0, pool=True)
        return Claimed(pool=centroid_bytes >= POOL_BYTES)

    def with_centroids(self, run: str) -> Self:
        """The settings with a run's centroids, and without training."""
        return self.model_copy(update={"centroids": run, "full_iterations": 0})

    def with_paths(self, change: Change) -> Self:
        """The settings with ``change`` applied to the path of the run that lends its centroids."""
        if self.centroids is None:
            return self
        run, mark, name = self.centroids.partition("#")
        return self.model_copy(update={"centroids": f"{change(run)}{mark}{name}"})


class Sided(Clustered):
    """Settings of a step whose concepts may be of captions too."""

    training: ClassVar[tuple[str, ...]] = (*Clustered.training, "side")

    side: Literal["image", "both"] = Field(
        "image",
        description="which vectors make the concepts: image, those of pictures; or both, those of picture and caption "
        "side by side",
    )

    @property
    def both_sides(self) -> bool:
        """With ``side: both``."""
        return self.side == "both"
