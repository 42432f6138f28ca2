"""A step: what it reads and makes, and its phases; what it sees of the run; and the fingerprint of a task."""

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
    """What a step sees of the run while it plans its phases. Everything here is small: no samples."""

    job: Job
    root: str

    @property
    def parts(self) -> Sequence[Part]:
        """In order of their numbers."""

    @property
    def alive(self) -> int:
        """Samples that no earlier step dropped."""

    def ingest(self, part: Part) -> Slice:
        """The part's rows of the ingest table."""

    def drops(self, part: Part) -> tuple[Slice, ...]:
        """The part's rows of every earlier verdict: what is no longer alive."""

    def done(self, step: str, phase: str) -> Done:
        """A finished phase of this or an earlier step."""

    def at(self, step: str, phase: str, part: Part) -> Slice:
        """A part's slice of a finished phase, made part by part or range by range."""

    def signal(self, name: str, part: Part) -> Slice | None:
        """The part's slice of the table that holds a signal (columns ``row`` and the name); None if nobody makes it."""

    def signals(self, part: Part) -> Sequence[tuple[str, Slice]]:
        """Every signal made so far, by name, and the part's slice of its table."""

    def verdicts(self, part: Part) -> Sequence[tuple[str, Slice]]:
        """The steps that have decided, in order, and the part's slice of each verdict."""

    def places(self, part: Part) -> Sequence[tuple[str, Slice]]:
        """The steps that made places, in order, and the part's slice of each table (columns ``row cluster rank
        distance``). Each has a phase ``quotas``, too: a row a cluster, what it keeps in the column ``quota``.
        """

    def kept(self, part: Part) -> int:
        """Samples of the part that are alive."""

    def embedding(self, name: str, part: Part) -> Slice:
        """The part's embeddings: columns ``row``, ``image``, ``text`` (tamis.schemas.tables.embedding_type)."""

    @property
    def inputs(self) -> Sequence[InputFile]:
        """The input files, by the numbers that parts and ingest tasks use."""

    @property
    def total(self) -> int:
        """All input samples."""

    def ranges(self) -> Sequence[Sequence[Part]]:
        """Consecutive parts of about ``range_samples`` rows: what one file of a global step's result covers."""


class Step(ABC):
    """A step: what it reads and makes, and its phases. The phase ``verdict`` is its decision, where it has one.

    ``needs`` and ``makes`` speak of ``signal:NAME`` and ``embedding:NAME``; ``plan`` checks the chain.
    """

    version: int = 1
    """Goes up when the same input would give other bytes."""

    name: str
    """Unique in the job."""

    def needs(self) -> Sequence[str]:
        """What an earlier step must have made."""
        return ()

    def makes(self) -> Mapping[str, str]:
        """What this step makes -> the phase whose tables hold it, by ``row``."""
        return {}

    def check(self, inputs: Sequence[InputFile]) -> None:  # noqa: B027 - most steps have nothing to check
        """Raise a TamisError for what cannot work: a model that is missing, a column that no input has."""

    @abstractmethod
    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """Yield a phase; when the generator goes on, its files are there."""


def fingerprint(step: Step, phase: Phase[Any], task: Task[Any], but: str | None = None) -> str:
    """128 bits of everything that determines a task's file, but for what it reads under the role ``but``."""
    identity = {
        "step": [type(step).__name__, step.version, phase.name],
        "args": _identity(task.args),
        "inputs": {
            role: [piece.identity for piece in pieces]
            for role, pieces in task.inputs.items()
            if role != but
        },
    }
    text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _identity(args: Any) -> dict[str, Any]:
    """A task's arguments as JSON values, without locations. What is None has not been asked for, and is left out."""
    if args is None:
        return {}
    return {
        field.name.rstrip("_"): _plain(getattr(args, field.name))
        for field in fields(args)
        if "location" not in field.metadata and getattr(args, field.name) is not None
    }


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
