"""How far a dropped sample was from passing: the setting that would have let it, all others left as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tamis.pipeline.audit.reading.finished_run import FinishedRun, Row
from tamis.pipeline.steps.duplicates.semantic.config import SemanticDuplicates
from tamis.pipeline.steps.rules.bounds import failure
from tamis.pipeline.steps.rules.config import BELOW_MINIMUM, NOT_ALLOWED, Bound, Rules
from tamis.pipeline.steps.selectors.config import whole_of
from tamis.pipeline.steps.selectors.density.config import Density
from tamis.pipeline.steps.shared.config import NO_VALUE
from tamis.schemas.step import StepModel

Mend = dict[str, Any]
"""``setting`` as ``--set`` writes it, ``relation`` (<= or >=) and ``value``; for ``keep`` also ``samples``."""


def checked(row: Row, config: Rules, names: Sequence[str]) -> list[dict[str, Any]]:
    """Each of the bounds ``names``, the value in a ledger row, and whether it passes."""
    return [_rule(name, config.bounds[name], row.get(name)) for name in names]


def _rule(signal: str, bound: Bound, value: Any) -> dict[str, Any]:
    limits = bound.model_dump(by_alias=True, exclude_none=True)
    return {"rule": signal, "value": value, **limits, "passes": failure(value, bound) is None}


def mends(
    run: FinishedRun, row: Row, config: StepModel | None, rules: list[dict[str, Any]]
) -> list[Mend]:
    """What would have made the sample pass the step that dropped it; all of them are needed. None is known
    for steps where a sample's fate hangs on others: duplicates that are equal, near captions, other selectors.

    ``rules`` are the step's bounds with the sample's values, as a story tells them.
    """
    if isinstance(config, Rules):
        failed = [rule for rule in rules if not rule["passes"]]
        return [_bound(config, rule["rule"], rule["value"]) for rule in failed]
    if isinstance(config, SemanticDuplicates) and row["value"] is not None:
        epsilon = _down(1 - row["value"])  # none where the embeddings are equal
        return [_mend(f"{config.name}.epsilon", "<=", epsilon)] if epsilon > 0 else []
    if isinstance(config, Density) and config.balance == 0 and row["rank"] is not None:
        return _budget(run, row, config)
    return []


def _mend(setting: str, relation: str, value: Any, **more: Any) -> Mend:
    return {"setting": setting, "relation": relation, "value": value, **more}


def _bound(config: Rules, signal: str, value: Any) -> Mend:
    name, reason = f"{config.name}.{signal}", failure(value, config.bounds[signal])
    if reason == NO_VALUE:
        return _mend(f"{name}.missing", "=", "keep")
    if reason == NOT_ALLOWED:
        return _mend(f"{name}.in", "with", value)
    if reason == BELOW_MINIMUM:
        return _mend(f"{name}.min", "<=", value)
    return _mend(f"{name}.max", ">=", value)


def _down(value: float) -> float:
    """Six decimals, never more than the value."""
    return math.floor(value * 1e6) / 1e6


def _budget(run: FinishedRun, row: Row, config: Density) -> list[Mend]:
    """From which budget on the concept's real-valued quota reaches the sample's rank."""
    import numpy as np

    from tamis.pipeline.algorithms.choosing.density import smallest_total

    concepts = run.quotas(config.name)
    if concepts is None:
        return []
    # Not to_numpy(): it imports pandas where that is installed, which takes longer than all else here.
    sizes = np.asarray(np.from_dlpack(concepts["size"].combine_chunks()), np.int64)
    complexity = np.asarray(np.from_dlpack(concepts["complexity"].combine_chunks()), np.float64)
    samples = smallest_total(complexity, sizes, row["cluster"], row["rank"], config.temperature)
    whole = whole_of(config.of, int(sizes.sum()), run.manifest.rows_in)
    share = math.ceil(samples * 10_000 / whole) / 10_000
    return [_mend(f"{config.name}.keep", ">=", share, samples=samples)]
