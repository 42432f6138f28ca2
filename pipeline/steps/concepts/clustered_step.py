"""The base class of steps that work on the concepts of an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.concepts import concepts
from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.steps.shared.over_embedding import embedding_named, embeds_captions
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.step import Step
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job

Config = TypeVar("Config", bound=Clustered)


class ClusteredStep(Step, Generic[Config]):
    """A step whose settings are ``Clustered``. It reads an embedding; its phases begin with ``concepts.phases``."""

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job
        self.embedding = embedding_named(job, config.embedding, config.name)

    def needs(self) -> Sequence[Product]:
        """The embedding that is clustered."""
        return [product.embedding(self.embedding)]

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Check that borrowed centroids exist, and have the job's number; and that there are vectors of captions.

        Raises:
            JobError, StateError: they do not, or there are none.
        """
        del inputs
        embed = next(e for e in self.job.embeds if e.makes_embedding == self.embedding)
        if self.config.both_sides and not embeds_captions(self.job, embed):
            raise JobError(
                f"{self.name}: side: both needs vectors of captions, and `{self.embedding}` has none: set "
                "`side: image`, or embed captions too"
            )
        concepts.number(self.config, 0)
