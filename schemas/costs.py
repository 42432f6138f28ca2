"""The cost of a step: measured after a run, or predicted before it, in ``prediction.json`` beside ``plan.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

PREDICTION = "prediction.json"


@dataclass(frozen=True)
class Cost:
    """Cost of one step, or of several; bytes are those that tasks moved to and from storage."""

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0  # seconds of tasks that hold a GPU, times their share of it
    read_bytes: float = 0.0
    written_bytes: float = 0.0
    shuffled_bytes: float = 0.0  # read by tasks that gather from many parts; in read_bytes too
    memory_bytes: float = 0.0  # the largest process

    def __add__(self, other: Cost) -> Cost:
        """Cost of both, one after the other: sums, and the larger memory."""
        return Cost(
            self.cpu_seconds + other.cpu_seconds,
            self.gpu_seconds + other.gpu_seconds,
            self.read_bytes + other.read_bytes,
            self.written_bytes + other.written_bytes,
            self.shuffled_bytes + other.shuffled_bytes,
            max(self.memory_bytes, other.memory_bytes),
        )


@dataclass(frozen=True)
class Prediction:
    """Predicted cost of a whole run. Ranges are (low, high)."""

    samples: float  # rows in
    sampled: int  # rows that the trial ran
    cluster: str
    steps: Mapping[str, Cost]
    wall_seconds: Mapping[str, tuple[float, float]]  # by step
    start_seconds: float  # until the first task
    stored_bytes: float  # size of the run directory
    money: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> Cost:
        """Cost of all steps."""
        return sum(self.steps.values(), Cost())

    @property
    def wall(self) -> tuple[float, float]:
        """Seconds from start to end."""
        low, high = (sum(span[i] for span in self.wall_seconds.values()) for i in (0, 1))
        return low + self.start_seconds, high + self.start_seconds

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the totals."""
        return {**asdict(self), "total": asdict(self.total), "wall": self.wall}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Prediction:
        """The inverse of ``to_json``.

        Raises:
            KeyError, TypeError: a key is missing or unknown.
        """
        fields = {key: value for key, value in raw.items() if key not in ("total", "wall")}
        spans = ("wall_seconds", "money")
        return cls(
            **{
                **fields,
                "steps": {name: Cost(**cost) for name, cost in raw["steps"].items()},
                "notes": tuple(raw["notes"]),
                **{key: {name: tuple(span) for name, span in raw[key].items()} for key in spans},
            }
        )
