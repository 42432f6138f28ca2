"""What each step of a run has cost, from ``events.jsonl``, beside what ``tamis plan --cluster`` had predicted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tamis.pipeline.store import storage
from tamis.schemas.costs import PREDICTION, Cost, Prediction
from tamis.schemas.errors import StateError

JOURNAL = "events.jsonl"


@dataclass(frozen=True)
class StepCosts:
    """One step: what was predicted (None where nothing was), and what it took (None where nothing tells)."""

    step: str
    predicted: Cost | None
    actual: Cost | None


@dataclass(frozen=True)
class Costs:
    """A run's steps in the order in which they ran; wall seconds are (low, high) as predicted, and measured."""

    steps: tuple[StepCosts, ...]
    predicted_wall: tuple[float, float] | None
    wall_seconds: float

    @property
    def predicted(self) -> Cost | None:
        """Of all steps."""
        found = [step.predicted for step in self.steps if step.predicted]
        return sum(found, Cost()) if found else None

    @property
    def actual(self) -> Cost:
        """Of all steps."""
        return sum((step.actual for step in self.steps if step.actual), Cost())


def costs(root: str) -> Costs:
    """Predicted and actual, by step.

    Actual is what the tasks that ended have taken, since the phase was last begun from nothing. What a killed
    worker had done is not in it, nor what Ray's own processes and the driver take.

    Raises:
        StateError: ``prediction.json`` or ``events.jsonl`` is not what this version writes.
    """
    predicted = prediction(root)
    spent, wall = actual(root)
    said = predicted.steps if predicted else {}
    names = list(dict.fromkeys([*spent, *said]))
    steps = tuple(StepCosts(name, said.get(name), spent.get(name)) for name in names)
    return Costs(steps, predicted.wall if predicted else None, wall)


def prediction(root: str) -> Prediction | None:
    """What was predicted for this run directory, if anything was.

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
    """What every step took, and the seconds that the phases took together; nothing where there is no journal.

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
    """Every phase since it was last begun from nothing; the sum of their wall seconds."""
    found: dict[tuple[str, str], Cost] = {}
    wall: dict[tuple[str, str], float] = {}
    gpus = 0.0
    for entry in entries:
        if entry["event"] not in ("PhaseStarted", "PhaseEnded"):
            continue
        key = entry["step"], entry["phase"]
        if entry["event"] == "PhaseStarted":
            gpus = entry.get("gpus", 0.0)
            if entry["found"] == 0:
                found.pop(key, None)
                wall.pop(key, None)
        elif "cpu_seconds" in entry:  # an older journal does not tell
            found[key] = found.get(key, Cost()) + _cost(entry, gpus)
            wall[key] = wall.get(key, 0.0) + entry["seconds"]
    return found, sum(wall.values())


def _cost(ended: Mapping[str, Any], gpus: float) -> Cost:
    return Cost(
        ended["cpu_seconds"],
        ended["worker_seconds"] * gpus,
        ended["read_bytes"],
        ended["written_bytes"],
        ended["shuffled_bytes"],
        ended["peak_memory_bytes"],
    )
