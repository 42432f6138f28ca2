"""The parts of a run, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np
import numpy.typing as npt

from tamis.pipeline.tables import paths
from tamis.schemas.scope import Scope

BUNDLE = 128
"""Parts of a bundle. A bundle's parts follow from its number alone, and may be of several input files."""

RANGE_PARTS = 2048
"""Parts of a range, at most: its task describes each, and stays small where parts are of few rows."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """At most ``part_samples`` consecutive rows of one input file."""

    number: int
    file: int  # its input's number, the task number of its ingest table
    group: int  # its row group there
    rows: int

    @property
    def name(self) -> str:
        """Its form in file names."""
        return paths.task_name(Scope.PART, self.number)


@dataclass(frozen=True, eq=False)
class Parts(Sequence[Part]):
    """All parts, in the order of their numbers."""

    file: Ints  # (parts,)
    group: Ints
    rows: Ints

    @classmethod
    def of(cls, parts: Iterable[tuple[int, int, int]]) -> Parts:
        """From (file, group, rows) of each."""
        table = np.array(list(parts), dtype=np.int64).reshape(-1, 3)
        return cls(*(np.ascontiguousarray(table[:, column]) for column in range(3)))

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, number: int) -> Part: ...
    @overload
    def __getitem__(self, number: slice) -> list[Part]: ...
    def __getitem__(self, number: int | slice) -> Part | list[Part]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(f"part {number} of {len(self)}")
        return Part(number, int(self.file[number]), int(self.group[number]), int(self.rows[number]))

    def __iter__(self) -> Iterator[Part]:
        columns = (self.file.tolist(), self.group.tolist(), self.rows.tolist())
        for number, (file, group, rows) in enumerate(zip(*columns, strict=True)):
            yield Part(number, file, group, rows)

    @cached_property
    def total(self) -> int:
        """Rows of all parts."""
        return int(self.rows.sum())


def bundle_of(part: int) -> tuple[int, int]:
    """The number of a part's bundle, and the part's place in it."""
    return divmod(part, BUNDLE)


def bundles(parts: int) -> int:
    """The number of bundles of so many parts."""
    return (parts + BUNDLE - 1) // BUNDLE


def ranges(rows: Ints, each: int) -> list[range]:
    """Consecutive parts, RANGE_PARTS at most, of at most ``each`` rows together, or one larger part."""
    spans: list[range] = []
    ends = np.cumsum(rows)
    first, before = 0, 0
    while first < len(rows):
        stop = max(first + 1, int(np.searchsorted(ends, before + each, side="right")))
        stop = min(stop, first + RANGE_PARTS)
        spans.append(range(first, stop))
        first, before = stop, int(ends[stop - 1])
    return spans
