"""A finished run whose late steps decide again in memory, as they see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks.chunks import Chunk, Rows
from tamis.schemas.job import Job

Found = TypeVar("Found")


class Again(Protocol):
    """The run's stored tables, and which samples are still alive. Rows of a chunk are numbered from its first."""

    @property
    def root(self) -> str:
        """The folder of the tables."""

    @property
    def job(self) -> Job:
        """With the settings that are tried."""

    @property
    def total(self) -> int:
        """All input samples."""

    @property
    def alive(self) -> int:
        """Samples that reach the step that decides."""

    def each(self, function: Callable[[Chunk], Found]) -> Iterator[Found]:
        """The result for every chunk, in order; several are done at once."""

    def living(self, chunk: Chunk) -> npt.NDArray[np.bool_]:
        """(rows,) whether a row is alive."""

    def drop(self, step: str, reason: str, places: Rows) -> Counter[str]:
        """Let a step drop rows, by their places among all: how many."""

    def signal(self, chunk: Chunk, name: str) -> tuple[Rows, pa.Array]:
        """The rows that have a signal, and their values."""

    def stored(
        self, chunk: Chunk, step: str, phase: str, columns: list[str]
    ) -> tuple[Rows, pa.Table]:
        """The rows of a phase's tables, and their columns."""

    def whole(self, step: str, phase: str) -> Slice:
        """The one table of a phase."""

    def tables(self, step: str, phase: str) -> Sequence[Slice]:
        """All tables of a phase, whole."""

    def places(self, sids: Rows) -> Rows:
        """The places among all of rows given by their sids."""

    def uids(self, places: Rows) -> npt.NDArray[np.uint64]:
        """(n, 2) the uids of rows, by their places among all."""

    def scratch(self, kind: npt.DTypeLike) -> Any:
        """(total,) zeros, in a file that is mapped into memory."""
