"""Steps, their view of the run, and the fingerprints of their tasks."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Protocol

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks.task import Done, Part, Phase, Task
from tamis.schemas.job import Job


class Context(Protocol):
    """A step's view of the run while it plans its phases: all of it small, no samples."""

    job: Job
    root: str

    @property
    def parts(self) -> Sequence[Part]:
        """All parts, in order of their numbers."""

    @property
    def alive(self) -> int:
        """Count of samples that no earlier step dropped."""

    def ingest(self, part: Part) -> Slice:
        """The part's rows of the ingest table."""

    def drops(self, part: Part) -> tuple[Slice, ...]:
        """The part's slice of every earlier verdict: its dropped rows."""

    def done(self, step: str, phase: str) -> Done:
        """A finished phase of this or an earlier step."""

    def at(self, step: str, phase: str, part: Part) -> Slice:
        """A part's slice of a finished phase, made part by part or range by range."""

    def signal(self, name: str, part: Part) -> Slice | None:
        """The part's slice of a signal's table (columns ``row`` and the name); None if no step makes it."""

    def signals(self, part: Part) -> Sequence[tuple[str, Slice]]:
        """Every signal made so far, by name, and the part's slice of its table."""

    def verdicts(self, part: Part) -> Sequence[tuple[str, Slice]]:
        """The steps that have decided, in order, and the part's slice of each verdict."""

    def place_tables(self, part: Part) -> Sequence[tuple[str, Slice]]:
        """The steps that place samples in concepts, in order, and the part's slice of each table (columns ``row
        cluster rank distance``). Their phase ``quotas`` has a row a cluster: the count to keep in ``quota``.
        """

    def kept(self, part: Part) -> int:
        """Count of the part's living samples."""

    def embedding(self, name: str, part: Part) -> Slice:
        """The part's embeddings: columns ``row``, ``image``, ``text`` (tamis.schemas.tables.embedding_type)."""

    @property
    def inputs(self) -> Sequence[InputFile]:
        """The input files, by the numbers that parts and ingest tasks use."""

    @property
    def total(self) -> int:
        """Count of all input samples."""

    def ranges(self) -> Sequence[Sequence[Part]]:
        """Consecutive parts of about ``range_samples`` rows, for one file each of a global step's result."""


class Step(ABC):
    """A step of a job as phases of tasks; the phase ``verdict`` is its decision, where it has one.

    ``needs`` and ``makes`` name ``signal:NAME`` and ``embedding:NAME``; ``plan`` checks the chain.
    """

    version: int = 1
    """Goes up when the same input would give other bytes."""

    name: str
    """Unique in the job."""

    def needs(self) -> Sequence[str]:
        """Names that an earlier step must have made."""
        return ()

    def makes(self) -> Mapping[str, str]:
        """Names that this step makes -> the phase whose tables hold them, by ``row``."""
        return {}

    def check(self, inputs: Sequence[InputFile]) -> None:  # noqa: B027 - most steps have nothing to check
        """Raise a TamisError where the step cannot work: no such model, no such column in any input."""

    @abstractmethod
    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """Yield phases; the files of each are finished when the generator goes on."""


def fingerprint(step: Step, phase: Phase[Any], task: Task[Any], without: str | None = None) -> str:
    """128 bits, in hex, of all that determines a task's file, except for its inputs under the role ``without``."""
    identity = {
        "step": [type(step).__name__, step.version, phase.name],
        "args": _identity(task.args),
        "inputs": {
            role: [piece.identity for piece in pieces]
            for role, pieces in task.inputs.items()
            if role != without
        },
    }
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _identity(args: Any) -> dict[str, Any]:
    """A task's arguments as JSON values, without locations and without options that are None."""
    if args is None:
        return {}
    return {
        field.name.rstrip("_"): _plain(getattr(args, field.name))
        for field in fields(args)
        if "location" not in field.metadata and getattr(args, field.name) is not None
    }


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
