"""Rows that are stored already and do not have to be computed again because others have come or gone.

A phase that is ``per_row`` (signals, embeddings) makes values that depend on their row alone. Where an earlier
verdict has changed, the part file that stands there holds most of the rows that are asked for now: they are taken
over, and only what is missing is computed. The file comes out as if all had been computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from pipeline import storage, tables
from pipeline.phases import Function, TaskIo
from pipeline.tables import Slice, TableFile
from schemas.errors import StateError

KEY = "rows_key"
"""In a file's notes: the fingerprint of its values, whichever rows it has."""

STORED = "stored"
"""In a task's places: the record of a file whose rows may be taken over."""

FROZEN = "frozen"
"""In a task's places: nothing may be computed, only taken over."""


class NotScoredError(StateError):
    """Samples that would be alive now were never scored. ``count`` of them, in one part."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} samples were never scored")
        self.count = count

    def __reduce__(self) -> tuple[type[NotScoredError], tuple[int]]:
        return NotScoredError, (self.count,)


def candidate(roots: Sequence[str], path: str, key: str) -> TableFile | None:
    """The first file called ``path`` below one of ``roots`` whose rows have the values of ``key``."""
    for root in roots:
        whole = storage.join(root, path)
        folder, _, name = whole.rpartition("/")
        size = storage.listing(folder).get(name)
        if size is not None:
            file = tables.inspect(root, path, size)
            if file is not None and file.notes.get(KEY) == key:
                return tables.at(root, file)
    return None


def completed(function: Function, io: TaskIo) -> Iterator[pa.Table]:
    """What ``function`` yields, with the rows that are stored already taken from there."""
    if KEY not in io.task.places:
        yield from function(io)
        return
    alive = io.alive(sum(piece.rows for piece in io.task.inputs["ingest"]))
    record = io.task.places.get(STORED)
    stored = None
    if record is not None:
        stored = tables.read(io.root, Slice(TableFile.from_json(record)))
        held = stored["row"].to_numpy()
        # What the footer says of the old file is no part of the rows.
        stored = stored.replace_schema_metadata().filter(pa.array(np.isin(held, alive)))
        missing = np.setdiff1d(alive, held, assume_unique=True)
    else:
        missing = alive
    if len(missing) and io.task.places.get(FROZEN):
        raise NotScoredError(len(missing))
    if stored is None or record is None:
        yield from function(io)
    elif not len(missing):
        io.notes |= {name: note for name, note in record["notes"].items() if name != "counts"}
        yield stored.combine_chunks()
    else:
        io.restrict(missing)
        both = pa.concat_tables([stored, *function(io)])
        yield both.take(
            pa.array(np.argsort(both["row"].to_numpy(), kind="stable"))
        ).combine_chunks()
    io.notes[KEY] = io.task.places[KEY]
