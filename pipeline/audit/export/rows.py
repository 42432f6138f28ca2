"""The rows of an export, bundle by bundle: columns of the ledger, and the vectors of the same samples beside them.

Nothing is held but one part. What a file has to say at its start, the number of its rows, is counted before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.arrays import Int64Array
from tamis.pipeline.audit.reading.finished_run import FinishedRun, sound
from tamis.pipeline.audit.search.stored import Embedding, Side
from tamis.pipeline.store import storage
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import paths
from tamis.pipeline.tables.columns import Float16s
from tamis.pipeline.tasks.parts import BUNDLE, bundle_of, bundles
from tamis.schemas.ledger import LEDGER
from tamis.schemas.scope import Scope

Among = Literal["kept", "all"]

NAMES = ("uid", "sid", "source", "key", "url", "text", "kept", "step", "reason", "cluster")
"""Columns of the ledger that every export has, before the signals."""


class Rows:
    """The kept samples of a run, or all; with an embedding those alone that have a vector."""

    def __init__(self, run: FinishedRun, among: Among, embedding: Embedding | None) -> None:
        self.run, self.embedding, self._among = run, embedding, among

    @property
    def bundles(self) -> range:
        """The numbers of the run's bundles."""
        return range(bundles(len(self.run.parts)))

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides that are embedded."""
        if self.embedding is None:
            return ()
        return ("image", "text") if self.embedding.has_text else ("image",)

    @cached_property
    def signals(self) -> list[str]:
        """The ledger's columns of signals."""
        path = self._path(0)
        with sound(path), storage.open_table(path) as raw, ParquetFile(raw) as file:
            names = file.schema_arrow.names
        return [name for name in names if name not in LEDGER.names]

    @property
    def columns(self) -> list[str]:
        """The columns of ``tables``."""
        return [*NAMES, *self.signals]

    def count(self, bundle: int) -> int:
        """Rows of a bundle."""
        return sum(len(self._chosen(part)) for part in self._parts(bundle))

    def tables(self, bundle: int) -> Iterator[pa.Table]:
        """NAMES and the signals, part by part; parts without a row are left out."""
        for part in self._parts(bundle):
            chosen = self._chosen(part)
            if len(chosen):
                yield self._ledger(part, self.columns).take(pa.array(chosen))

    def ingested(self, bundle: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Columns of what ingest stored of the same rows."""
        assert self.embedding is not None, "it is asked for beside vectors alone"
        for part in self._parts(bundle):
            chosen = self._chosen(part)
            if len(chosen):
                yield self.embedding.ingested(part, columns).take(pa.array(chosen))

    def vectors(self, bundle: int, side: Side) -> Iterator[Float16s]:
        """The vectors of the same rows, part by part."""
        assert self.embedding is not None, "there are sides"
        for part in self._parts(bundle):
            chosen = self._chosen(part)
            if len(chosen):
                yield self.embedding.rows_of(part, side, chosen)

    def _parts(self, bundle: int) -> range:
        return range(bundle * BUNDLE, min((bundle + 1) * BUNDLE, len(self.run.parts)))

    def _chosen(self, part: int) -> Int64Array:
        """The rows of a part that are exported, ascending."""
        kept = self._ledger(part, ["kept"])["kept"].to_numpy(zero_copy_only=False)
        chosen = kept if self._among == "kept" else np.ones(len(kept), bool)
        if self.embedding is not None:
            has = np.zeros(len(kept), bool)
            has[self.embedding.usable_rows(part)] = True
            chosen = chosen & has
        return np.flatnonzero(chosen)

    def _ledger(self, part: int, columns: Sequence[str]) -> pa.Table:
        bundle, group = bundle_of(part)
        path = self._path(bundle)
        with sound(path), storage.open_table(path, pieces=BUNDLE) as raw, ParquetFile(raw) as file:
            return file.read_row_group(group, columns)

    def _path(self, bundle: int) -> str:
        name = f"{paths.task_name(Scope.BUNDLE, bundle)}.parquet"
        return storage.join(self.run.root, paths.LEDGER, name)

    def lists(self) -> pa.Table:
        """``uid`` and a column of lists of float16 for each side: all rows at once."""
        width = self.embedding.dim if self.embedding else 0
        vector = pa.list_(pa.float16(), width)
        schema = pa.schema([("uid", pa.string()), *((side, vector) for side in self.sides)])
        tables = [schema.empty_table()]
        for bundle in self.bundles:
            sides = [self.vectors(bundle, side) for side in self.sides]
            for table, *vectors in zip(self.tables(bundle), *sides, strict=True):
                lists = [
                    pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), width)
                    for array in vectors
                ]
                tables.append(pa.Table.from_arrays([table["uid"], *lists], schema=schema))
        return pa.concat_tables(tables)
