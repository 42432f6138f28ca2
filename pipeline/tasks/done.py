"""Finished phases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tables.part_files import Slice, TableFile
from tamis.pipeline.tasks import dealing
from tamis.pipeline.tasks import parts as run_parts
from tamis.pipeline.tasks.parts import Parts
from tamis.pipeline.tasks.sources import ByPart, Gathered, Source, gathered
from tamis.schemas.scope import Scope


@dataclass(frozen=True)
class Done:
    """A finished phase: the records of its files, in the order of its tasks."""

    scope: Scope
    files: FileColumns
    dealt: FileColumns | None = None  # of an exchange in two waves: the second's files
    buckets: int = 0  # of such an exchange

    def __getitem__(self, task: str) -> TableFile:
        return self.files.file(self.files.positions[task])

    def __len__(self) -> int:
        return len(self.files)

    def whole(self) -> tuple[Source]:
        """All files, whole."""
        if len(self.files) == 1:
            return (self.files.file(0).slice(),)
        return (gathered(self.files),)

    def groups(self, group: int) -> tuple[Gathered]:
        """The same row group of every file: one bucket of an exchange."""
        if self.dealt is not None:
            return (dealing.of_bucket(self.dealt, self.buckets, group),)
        return (gathered(self.files, group),)

    def last(self, number: int) -> Slice:
        """The last row group of one task's file: of an exchange what the task wrote behind its buckets, for itself."""
        groups = int(self.files.ends[number] - self.files.starts[number])
        return self.files.slice(number, groups - 1)

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return int(self.files.rows.sum())

    def notes(self) -> Iterator[dict[str, Any]]:
        """The notes of each file."""
        return self.files.all_notes()

    def total(self, name: str) -> int:
        """The sum of a count over all files."""
        return self._counts[name]

    def counts(self) -> Counter[str]:
        """All counts, summed."""
        return Counter(self._counts)

    @cached_property
    def _counts(self) -> Counter[str]:
        summed: Counter[str] = Counter()
        for notes in self.files.counted_notes():
            summed.update(notes["counts"])
        return summed

    def by_part(self, parts: Parts, ranges: list[range]) -> ByPart:
        """The row group of each part."""
        numbers = np.arange(len(parts))
        zeros = np.zeros(len(parts), np.int32)
        if self.scope is Scope.PART:
            return ByPart(self.files, numbers.astype(np.int32), zeros)
        if self.scope is Scope.FILE:
            return ByPart(self.files, parts.file.astype(np.int32), parts.group.astype(np.int32))
        if self.scope is Scope.BUNDLE:
            file, group = np.divmod(numbers, run_parts.BUNDLE)
            return ByPart(self.files, file.astype(np.int32), group.astype(np.int32))
        assert self.scope is Scope.RANGE, f"{self.files.folder}: {self.scope} has no rows by part"
        counts = [len(span) for span in ranges]
        file = np.repeat(np.arange(len(ranges)), counts)
        group = numbers - np.repeat([span.start for span in ranges], counts)
        return ByPart(self.files, file.astype(np.int32), group.astype(np.int32))
