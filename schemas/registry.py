"""The registry of steps. A step's modules are imported when a job names it."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from tamis.schemas.step import StepModel

STEPS: dict[str, str] = {
    "signals": "tamis.pipeline.steps.signals:Signals",
    "counts": "tamis.pipeline.steps.counts:Counts",
    "rules": "tamis.pipeline.steps.rules:Rules",
    "exclude": "tamis.pipeline.steps.exclude:Exclude",
    "exact_duplicates": "tamis.pipeline.steps.duplicates.exact:ExactDuplicates",
    "near_duplicates": "tamis.pipeline.steps.duplicates.near_captions:NearDuplicates",
    "near_pictures": "tamis.pipeline.steps.duplicates.near_pictures:NearPictures",
    "embed": "tamis.pipeline.steps.embed:Embed",
    "score": "tamis.pipeline.steps.selectors.score:Score",
    "difficulty": "tamis.pipeline.steps.difficulty:Difficulty",
    "semantic_duplicates": "tamis.pipeline.steps.duplicates.semantic:SemanticDuplicates",
    "density": "tamis.pipeline.steps.selectors.density:Density",
    "prototypes": "tamis.pipeline.steps.selectors.prototypes:Prototypes",
    "coverage": "tamis.pipeline.steps.selectors.coverage:Coverage",
    "random": "tamis.pipeline.steps.selectors.random:Random",
    "importance": "tamis.pipeline.steps.selectors.importance:Importance",
    "balance": "tamis.pipeline.steps.selectors.balance:Balance",
    "quotas": "tamis.pipeline.steps.selectors.quotas:Quotas",
    "target": "tamis.pipeline.steps.selectors.target:Target",
    "repeat": "tamis.pipeline.steps.selectors.repeat:Repeat",
    "choose": "tamis.pipeline.steps.selectors.choose:Choose",
    "tiers": "tamis.pipeline.steps.tiers:Tiers",
    "index": "tamis.pipeline.steps.index:Index",
    "write": "tamis.pipeline.steps.write:Write",
}
"""Kind -> folder and class: the settings are that class in ``config.py`` there, the step is that class in ``step.py``.

The order is that of the job file which `tamis init` writes.
"""


def configuration(kind: str) -> type[StepModel]:
    """The settings of a step: the model that a job's entry of this kind is checked by."""
    model: type[StepModel] = _named(kind, "config")
    return model


def step_class(kind: str) -> Any:
    """The step's class: called with its settings and the job, it makes a ``tasks.step.Step``."""
    return _named(kind, "step")


def audit_class(kind: str) -> Any:
    """The class that answers audits: the step's own in ``audit.py``, or the neutral ``StepAudit``."""
    return _optional(kind, "audit") or _neutral("StepAudit", "audit")


def growth_class(kind: str) -> Any:
    """The class that predicts the step's costs: its own in ``growth.py``, or the neutral ``StepGrowth``."""
    return _optional(kind, "growth") or _neutral("StepGrowth", "growth")


def choice_class(kind: str) -> Any | None:
    """The class that chooses in memory, in a selector's ``choice.py``; None if there is none."""
    return _optional(kind, "choice")


def _optional(kind: str, module: str) -> Any | None:
    folder = STEPS[kind].partition(":")[0]
    return _named(kind, module) if find_spec(f"{folder}.{module}") else None


def _neutral(name: str, module: str) -> Any:
    return getattr(importlib.import_module(f"tamis.pipeline.steps.shared.{module}"), name)


def _named(kind: str, module: str) -> Any:
    folder, _, name = STEPS[kind].partition(":")
    return getattr(importlib.import_module(f"{folder}.{module}"), name)
