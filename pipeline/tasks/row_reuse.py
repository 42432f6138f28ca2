"""Reuse of stored rows: where other rows of a part have come or gone, only missing rows are computed.

A phase that is ``per_row`` (signals, embeddings) makes values that depend on their row alone. Where an earlier
verdict has changed, the stored part file has most of the rows that are alive now: they are taken over, and the others
computed. The file has the bytes that it would have had all been computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks.phase import Fingerprints, Phase
from tamis.pipeline.tasks.task import CULPRITS, Attempt, Function, TaskIo
from tamis.schemas.errors import StateError
from tamis.schemas.ledger import Reason

KEY = "rows_key"
"""Name in a file's notes of the fingerprint of its values, whichever rows it has."""


class NotScoredError(StateError):
    """Living samples of one part were never scored: ``count`` of them."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} samples were never scored")
        self.count = count

    def __reduce__(self) -> tuple[type[NotScoredError], tuple[int]]:
        return NotScoredError, (self.count,)


def refusal(step: str, lacking: int, phase: Phase[Any], attempts: Sequence[Attempt]) -> str:
    """The message where ``lacking`` samples have no stored values, or those of other embedding files."""
    fitting = all(attempt.stored for attempt in attempts)
    if phase.reads_embedding_files and not fitting:
        return (
            f"{step}: the embeddings that came with the input have changed since they were read, or were written "
            "again (stored ones are known by the files' sizes and times): bring the files back as they were, or run "
            "the job with that setting instead"
        )
    return (
        f"{step}: {lacking:,} samples that would be alive now were never scored by this step: "
        "run the job with that setting instead"
    )


class StoredFiles:
    """The files of a phase as they lie in some runs, each listed once; for rows that may be taken over."""

    def __init__(self, roots: Sequence[str], folder: str) -> None:
        self._roots, self._folder = roots, folder
        self._sizes = [storage.listing(storage.join(root, folder)) for root in roots]

    def find(self, task: str, key: str) -> TableFile | None:
        """The first file of the task ``task`` whose rows have the values of ``key``."""
        for root, sizes in zip(self._roots, self._sizes, strict=True):
            size = sizes.get(f"{task}.parquet")
            if size is not None:
                file = part_files.inspect(root, f"{self._folder}/{task}.parquet", size)
                if file is not None and file.notes.get(KEY) == key:
                    return part_files.absolute(root, file)
        return None


@dataclass(frozen=True)
class Stored:
    """The keys of the rows' values of each task of a phase, and the stored files that may have them."""

    keys: Fingerprints
    files: StoredFiles

    def find(self, task: int, name: str) -> tuple[str, TableFile | None]:
        """A task's key, and the file whose rows it may take over."""
        key = self.keys[task].tobytes().hex()
        return key, self.files.find(name, key)


def with_stored_rows(function: Function, io: TaskIo[Any]) -> Iterator[pa.Table]:
    """The tables of ``function``, computed only for rows that are not stored; in a probe only for its span."""
    if io.attempt.rows_key is None:
        yield from function(io)
        return
    alive = io.living_rows()
    record = io.attempt.stored
    stored = None
    if record is not None:
        stored = part_files.read(io.root, record.slice())
        stored_rows = stored["row"].to_numpy()
        # The old file's metadata does not belong to its rows.
        stored = stored.replace_schema_metadata().filter(pa.array(np.isin(stored_rows, alive)))
        missing = np.setdiff1d(alive, stored_rows, assume_unique=True)
    else:
        missing = alive
    if len(missing) and io.attempt.frozen:
        raise NotScoredError(len(missing))
    if io.span is not None:
        io.restrict(missing[(missing >= io.span[0]) & (missing < io.span[1])])
        yield from function(io)
        return
    culprits = np.intersect1d(missing, io.culprits)
    if stored is None and not len(culprits):
        yield from function(io)
    elif stored is not None and not len(missing):
        io.notes |= {name: note for name, note in _notes(record).items() if name != "counts"}
        yield stored.combine_chunks()
    else:
        io.restrict(np.setdiff1d(missing, culprits, assume_unique=True))
        tables = [*([] if stored is None else [stored]), *function(io)]
        every = pa.concat_tables([*tables, _killed(culprits, tables[-1].schema)])
        yield every.take(
            pa.array(np.argsort(every["row"].to_numpy(), kind="stable"))
        ).combine_chunks()
    culprits = np.union1d(culprits, np.intersect1d(alive, _notes(record).get(CULPRITS, [])))
    if len(culprits):
        io.notes[CULPRITS] = [int(row) for row in culprits]
    else:
        io.notes.pop(CULPRITS, None)
    io.notes[KEY] = io.attempt.rows_key


def _notes(record: TableFile | None) -> Mapping[str, Any]:
    """The notes of a stored file; none without a file."""
    return record.notes if record is not None else {}


def _killed(rows: npt.NDArray[np.int64], schema: pa.Schema) -> pa.Table:
    """Rows without values, with their reason where the table has the column ``reason``."""
    values = {
        "row": pa.array(rows.astype(np.uint32)),
        "reason": pa.array([str(Reason.KILLED_ITS_WORKER)] * len(rows), pa.string()),
    }
    columns = [values.get(field.name, pa.nulls(len(rows), field.type)) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema.remove_metadata())
