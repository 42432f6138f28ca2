"""The beginning of a step that computes a signal, under its own name, over one embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from tamis.pipeline.steps.shared.parts import embedding_named, embeds_captions
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.step import Step
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job


class Settings(Protocol):
    """The settings that are read."""

    @property
    def name(self) -> str:
        """The step's."""

    @property
    def embedding(self) -> str | None:
        """The name of the embedding; None for the only one."""


Config = TypeVar("Config", bound=Settings)


class OverEmbedding(Step, Generic[Config]):
    """``embed`` are the settings of the step that makes the embedding; the phase ``values`` has the signal."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job
        self.embedding = embedding_named(job, config.embedding, config.name)
        self.embed: Any = next(
            step for step in job.embeds if step.makes_embedding == self.embedding
        )

    def needs(self) -> Sequence[Product]:
        """The embedding."""
        return [product.embedding(self.embedding)]

    def makes(self) -> Mapping[Product, str]:
        """The signal."""
        return {product.signal(self.name): "values"}

    def check_captions(self, why: str, mend: str) -> None:
        """Check that captions are embedded too.

        Raises:
            JobError: they are not; ``why`` they are needed, and ``mend``.
        """
        if not embeds_captions(self.job, self.embed):
            raise JobError(
                f"{self.name}: {why}, and `{self.embed.name}` embeds pictures alone: {mend}"
            )
