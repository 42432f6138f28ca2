"""What happens while a run goes on, as small values. The engine's side emits them; observers show or store them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tamis.schemas.scope import Scope


@dataclass(frozen=True, slots=True)
class Spent:
    """What a task took of its process, as the process itself counted it."""

    cpu_seconds: float = 0.0  # of all its threads
    read_bytes: int = 0  # from storage: inputs, tables
    written_bytes: int = 0  # its table, and its files of the result
    memory_bytes: int = 0  # the largest resident set while it worked; 0 where nothing tells it
    cold: bool = False  # the first of its kind in its process: imports and models are loaded by it


NOTHING = Spent()


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase begins: ``tasks`` of them are still to be made, ``found`` were there already. ``rows`` are to be read.

    ``cpus`` and ``gpus`` are what each task claims.
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
    """One part file stands: rows read, rows and bytes written, seconds of its worker."""

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
        """Whether it reads what many parts have written, and not one part, input file or shard: a shuffle."""
        return self.scope.gathers


@dataclass(frozen=True, slots=True)
class PhaseEnded:
    """All files of the phase stand. ``seconds`` is wall time."""

    step: str
    phase: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step has decided: of ``entered`` samples it dropped some, by reason."""

    step: str
    entered: int
    dropped: dict[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know and that stops nothing."""

    text: str


Event = PhaseStarted | TaskDone | PhaseEnded | StepEnded | Notice
Observer = Callable[[Event], None]
