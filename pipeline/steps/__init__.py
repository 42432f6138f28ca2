"""The steps, one file a step. To add one: write its file and its test, and add one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tamis.pipeline.steps.duplicates.exact.step import ExactDuplicates
from tamis.pipeline.steps.duplicates.near_captions.step import NearDuplicates
from tamis.pipeline.steps.duplicates.near_pictures.step import NearPictures
from tamis.pipeline.steps.duplicates.semantic.step import SemanticDuplicates
from tamis.pipeline.steps.embed.step import Embed
from tamis.pipeline.steps.ingest import Ingest
from tamis.pipeline.steps.ledger import Ledger
from tamis.pipeline.steps.rules.step import Rules
from tamis.pipeline.steps.selectors.coverage.step import Coverage
from tamis.pipeline.steps.selectors.density.step import Density
from tamis.pipeline.steps.selectors.importance.step import Importance
from tamis.pipeline.steps.selectors.prototypes.step import Prototypes
from tamis.pipeline.steps.selectors.random.step import Random
from tamis.pipeline.steps.selectors.score.step import Score
from tamis.pipeline.steps.signals.step import Signals
from tamis.pipeline.steps.write.step import Write
from tamis.pipeline.tasks.step import Step
from tamis.schemas.job import Job

STEPS: dict[str, Callable[[Any, Job], Step]] = {
    "signals": Signals,
    "rules": Rules,
    "exact_duplicates": ExactDuplicates,
    "near_duplicates": NearDuplicates,
    "near_pictures": NearPictures,
    "embed": Embed,
    "semantic_duplicates": SemanticDuplicates,
    "density": Density,
    "prototypes": Prototypes,
    "coverage": Coverage,
    "random": Random,
    "score": Score,
    "importance": Importance,
    "write": Write,
}
"""Kind -> the step; each takes its slice of the job, and the job."""

__all__ = ["STEPS", "Ingest", "Ledger"]
