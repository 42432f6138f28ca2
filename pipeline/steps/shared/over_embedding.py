"""The embedding that a step reads, and the beginning of a step that computes a signal over one, under its own name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from tamis.pipeline import encoders
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.step import Step
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.nearest import nearest


def embedding_named(job: Job, wanted: str | None, step: str) -> str:
    """The name of the embedding that a step reads.

    Raises:
        JobError: no embedding, none of that name, or two and no name.
    """
    names = [embed.makes_embedding for embed in job.embeds]
    if wanted is not None:
        if wanted not in names:
            raise JobError(f"{step}: no embedding `{wanted}`{nearest(wanted, names)}")
        return wanted
    if not names:
        raise JobError(f"{step}: needs an embedding: put an `embed` step before it")
    if len(names) > 1:
        raise JobError(f"{step}: two embeddings ({', '.join(names)}): say which with `embedding:`")
    return str(names[0])


def embeds_captions(job: Job, embed: Any) -> bool:
    """Whether a step that embeds, by its settings, makes vectors of captions too."""
    if not job.has_captions:
        return False
    if embed.takes_embeddings:
        if embed.taken_embedding:
            given = (entry.embeddings.get(embed.taken_embedding) for entry in job.input)
            return all(one is not None and one.text is not None for one in given)
        return all(entry.features or entry.text_embeddings for entry in job.input)
    return encoders.describe(embed.spec, embed.precision).has_text


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
