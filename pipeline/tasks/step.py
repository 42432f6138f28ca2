"""Steps, and their view of the run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.parts import Parts
from tamis.pipeline.tasks.phase import Phase
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart
from tamis.schemas.job import Job


class Context(Protocol):
    """A step's view of the run while it plans its phases: all of it small, no samples."""

    job: Job
    root: str

    @property
    def parts(self) -> Parts:
        """All parts, in order of their numbers."""

    @property
    def alive(self) -> int:
        """Count of samples that no earlier step dropped."""

    def ingest(self) -> ByPart:
        """The ingest table."""

    def drops(self) -> Sequence[ByPart]:
        """Every earlier verdict: its dropped rows."""

    def done(self, step: str, phase: str) -> Done:
        """A finished phase of this or an earlier step."""

    def at(self, step: str, phase: str) -> ByPart:
        """The table of a finished phase, made part by part, bundle by bundle or range by range."""

    def signal(self, name: str) -> ByPart:
        """A signal's table (columns ``row`` and the name); the plan has checked that a step makes it."""

    def signals(self) -> Sequence[tuple[str, ByPart]]:
        """Every signal made so far, by name, and its table."""

    def verdicts(self) -> Sequence[tuple[str, ByPart]]:
        """The steps that have decided, in order, and the table of each verdict."""

    def place_tables(self) -> Sequence[tuple[str, ByPart]]:
        """The steps that place samples in concepts, in order, and their tables (columns ``row cluster rank
        distance``). Their phase ``quotas`` has a row a cluster: the count to keep in ``quota``.
        """

    def living_by_part(self) -> npt.NDArray[np.int64]:
        """Count of each part's living samples, (parts,)."""

    def embedding(self, name: str) -> ByPart:
        """The embeddings: columns ``row``, ``image``, ``text`` (tamis.schemas.tables.embedding_type)."""

    @property
    def inputs(self) -> Sequence[InputFile]:
        """The input files, by the numbers that parts and ingest tasks use."""

    @property
    def total(self) -> int:
        """Count of all input samples."""

    def ranges(self) -> list[range]:
        """Numbers of consecutive parts of about ``range_samples`` rows, for a file each of a global step's result."""


class Step(ABC):
    """A step of a job as phases of tasks; the phase ``verdict`` is its decision, where it has one.

    ``plan`` checks that what a step ``needs`` an earlier one ``makes``.
    """

    version: int = 1
    """Goes up when the same input would give other bytes."""

    name: str
    """Unique in the job."""

    passing: Sequence[str] = ()
    """Phases whose tables this step's own later phases alone read, or patterns of their names: `tamis clean` may
    remove them. A later phase that has another setting reads them again.
    """

    def needs(self) -> Sequence[Product]:
        """The products that an earlier step must have made."""
        return ()

    def makes(self) -> Mapping[Product, str]:
        """This step's products for later ones -> the phase whose tables hold each, by ``row``."""
        return {}

    def spared(self, need: Product) -> str:
        """A way to do without ``need``, as the end of a message: ", or say ..."."""
        del need
        return ""

    def check(self, inputs: Sequence[InputFile]) -> None:  # noqa: B027 - most steps have nothing to check
        """Raise a TamisError where the step cannot work: no such model, no such column in any input."""

    @abstractmethod
    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """Yield phases; the files of each are finished when the generator goes on."""
