"""Neighbouring parts of a run, looked at together: a part may be small, and each read has its price."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tables.sids import sids_of
from tamis.pipeline.tasks.parts import Part
from tamis.pipeline.tasks.sources import ByPart

CHUNK_ROWS = 1 << 18
"""Rows of a chunk, about; a larger part is one by itself."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chunk:
    """Some parts, in order. ``start``: the place of the first row among all rows of the run."""

    parts: tuple[Part, ...]
    start: int

    @cached_property
    def offsets(self) -> Rows:
        """The first row of each part in the chunk, and the end of the last."""
        return np.cumsum([0, *(part.rows for part in self.parts)])

    @property
    def rows(self) -> int:
        """Of all its parts."""
        return int(self.offsets[-1])

    @property
    def place(self) -> slice:
        """Of its rows, among all."""
        return slice(self.start, self.start + self.rows)

    def sids(self, rows: Rows) -> Rows:
        """The addresses of some rows of the chunk."""
        part = np.searchsorted(self.offsets, rows, side="right") - 1
        numbers = np.array([part.number for part in self.parts])
        return sids_of(numbers[part], rows - self.offsets[part])

    def pieces(self, of: ByPart | None) -> list[tuple[int, Slice]]:
        """Each part's slice of a table, behind where the part begins; where any has rows, those without are left out.

        Where none has, one is kept: it knows the columns' types. Without a table there are none.
        """
        if of is None:
            return []
        offsets = zip(self.offsets.tolist(), self.parts, strict=False)
        filled = [(at, of[part.number]) for at, part in offsets if of.rows[part.number]]
        return filled or [(0, of[self.parts[0].number])]

    def read(
        self, root: str, pieces: Sequence[tuple[int, Slice]], columns: Sequence[str]
    ) -> tuple[Rows, pa.Table]:
        """The rows of ``pieces`` by their place in the chunk, and their columns; neighbours in a file are one read.

        Raises:
            DamagedTableError: a table is not what was written.
        """
        found: list[pa.Table] = []
        rows: list[Rows] = []
        for _, group in groupby(pieces, key=lambda pair: pair[1].path):
            run = list(group)
            slices = [piece for _, piece in run]
            found.append(part_files.read_groups(root, slices, ["row", *columns]))
            starts = np.repeat([at for at, _ in run], [piece.rows for _, piece in run])
            rows.append(starts + found[-1]["row"].combine_chunks().to_numpy())
        return np.concatenate(rows), pa.concat_tables(found).select(list(columns)).combine_chunks()


def chunks(parts: Sequence[Part]) -> Iterator[Chunk]:
    """All parts, a few at a time."""
    held: list[Part] = []
    start = rows = 0
    for part in parts:
        if held and rows + part.rows > CHUNK_ROWS:
            yield Chunk(tuple(held), start)
            held, start, rows = [], start + rows, 0
        held.append(part)
        rows += part.rows
    if held:
        yield Chunk(tuple(held), start)
