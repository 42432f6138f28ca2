"""Costs of a run's steps, from ``events.jsonl``, beside those that ``tamis plan --cluster`` predicted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tamis.pipeline.store import storage
from tamis.schemas.costs import PREDICTION, Cost, Prediction
from tamis.schemas.errors import StateError
from tamis.schemas.layout import JOURNAL


@dataclass(frozen=True)
class StepCosts:
    """Costs of one step; None where there is no prediction, or no record."""

    step: str
    predicted: Cost | None
    actual: Cost | None


@dataclass(frozen=True)
class Costs:
    """Costs of a run's steps, in the order in which they ran. The predicted wall seconds are (low, high)."""

    steps: tuple[StepCosts, ...]
    predicted_wall: tuple[float, float] | None
    wall_seconds: float

    @property
    def predicted(self) -> Cost | None:
        """Predicted costs of all steps together."""
        predicted = [step.predicted for step in self.steps if step.predicted]
        return sum(predicted, Cost()) if predicted else None

    @property
    def actual(self) -> Cost:
        """Actual costs of all steps together."""
        return sum((step.actual for step in self.steps if step.actual), Cost())


def costs(root: str) -> Costs:
    """Predicted and actual costs, by step.

    Actual costs are those of finished tasks since their phase was last begun from nothing. Work lost with a killed
    worker is not counted, nor are Ray's own processes and the driver.

    Raises:
        StateError: ``prediction.json`` or ``events.jsonl`` is not what this version writes.
    """
    predicted = prediction(root)
    spent, wall = actual(root)
    expected = predicted.steps if predicted else {}
    names = list(dict.fromkeys([*spent, *expected]))
    steps = tuple(StepCosts(name, expected.get(name), spent.get(name)) for name in names)
    return Costs(steps, predicted.wall if predicted else None, wall)


def prediction(root: str) -> Prediction | None:
    """The prediction in a run directory; None where there is none.

    Raises:
        StateError: the file is damaged.
    """
    path = storage.join(root, PREDICTION)
    if not storage.exists(path):
        return None
    try:
        return Prediction.from_json(json.loads(storage.read_bytes(path)))
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(
            f"{path}: is not what this version writes ({error}): `tamis plan JOB --cluster` makes it anew"
        ) from None


def actual(root: str) -> tuple[dict[str, Cost], float]:
    """Costs by step, and the wall seconds of all phases; empty and 0 without a journal.

    Raises:
        StateError: the journal is damaged.
    """
    path = storage.join(root, JOURNAL)
    if not storage.exists(path):
        return {}, 0.0
    try:
        entries = [json.loads(line) for line in storage.read_bytes(path).decode().splitlines()]
        phases, seconds = _phases(entries)
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{path}: is not what this version writes ({error})") from None
    steps: dict[str, Cost] = {}
    for (step, _), cost in phases.items():
        steps[step] = steps.get(step, Cost()) + cost
    return steps, seconds


def _phases(
    entries: Iterable[Mapping[str, Any]],
) -> tuple[dict[tuple[str, str], Cost], float]:
    """Costs by (step, phase) since the phase was last begun from nothing; and the sum of the wall seconds."""
    costs: dict[tuple[str, str], Cost] = {}
    wall: dict[tuple[str, str], float] = {}
    gpus = 0.0
    for entry in entries:
        if entry["event"] not in ("PhaseStarted", "PhaseEnded"):
            continue
        key = entry["step"], entry["phase"]
        if entry["event"] == "PhaseStarted":
            gpus = entry.get("gpus", 0.0)
            if entry["found"] == 0:
                costs.pop(key, None)
                wall.pop(key, None)
        elif "cpu_seconds" in entry:  # absent from journals of older versions
            costs[key] = costs.get(key, Cost()) + _cost(entry, gpus)
            wall[key] = wall.get(key, 0.0) + entry["seconds"]
    return costs, sum(wall.values())


def _cost(ended: Mapping[str, Any], gpus: float) -> Cost:
    return Cost(
        ended["cpu_seconds"],
        ended["worker_seconds"] * gpus,
        ended["read_bytes"],
        ended["written_bytes"],
        ended["shuffled_bytes"],
        ended["peak_memory_bytes"],
    )
