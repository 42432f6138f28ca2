"""The steps, one file a step. To add one: write its file and its test, and add one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.phases import Step
from pipeline.steps.coverage import Coverage
from pipeline.steps.density import Density
from pipeline.steps.embed import Embed
from pipeline.steps.exact import ExactDuplicates
from pipeline.steps.importance import Importance
from pipeline.steps.ingest import Ingest
from pipeline.steps.ledger import Ledger
from pipeline.steps.near import NearDuplicates
from pipeline.steps.near_pictures import NearPictures
from pipeline.steps.prototypes import Prototypes
from pipeline.steps.random import Random
from pipeline.steps.rules import Rules
from pipeline.steps.score import Score
from pipeline.steps.semantic import SemanticDuplicates
from pipeline.steps.signals import Signals
from pipeline.steps.write import Write
from schemas.job import Job

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
