"""Events of a run, as small values: the run emits them, observers show or store them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tamis.schemas.scope import Scope


@dataclass(frozen=True, slots=True)
class Spent:
    """Use of a process by one task, as the process counts it."""

    cpu_seconds: float = 0.0  # of all its threads
    read_bytes: int = 0  # from storage: inputs, tables
    written_bytes: int = 0  # its table, and its files of the result
    memory_bytes: int = (
        0  # the largest resident set during the task; 0 if the system has no such figure
    )
    cold: bool = False  # the first task of its function in its process: it loads imports and models


NOTHING = Spent()


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase begins: ``tasks`` have to run and read ``rows``, ``found`` have a file from before.

    ``cpus`` and ``gpus`` are the claims of each task.
    """

    step: str
    phase: str
    tasks: int
    found: int
    rows: int
    cpus: float = 1.0
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A part file is complete: rows read, rows and bytes written, seconds of its worker."""

    step: str
    phase: str
    task: str
    scope: Scope
    rows: int
    written: int
    bytes: int
    seconds: float
    spent: Spent = NOTHING

    @property
    def gathers(self) -> bool:
        """True if the task reads tables of many parts (a shuffle), and not one part, input file or shard."""
        return self.scope.gathers


@dataclass(frozen=True, slots=True)
class PhaseEnded:
    """All files of the phase are complete. ``seconds`` is wall time."""

    step: str
    phase: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step has decided on ``entered`` samples; ``dropped`` has the number of drops by reason."""

    step: str
    entered: int
    dropped: dict[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for a person; the run goes on."""

    text: str


Event = PhaseStarted | TaskDone | PhaseEnded | StepEnded | Notice
Observer = Callable[[Event], None]
