"""Checks of the vectors beside shards: their number, and, where it is asked for, each row against the stored one."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.results.shards import shard_name
from tamis.pipeline.steps.shared.tiers import tiering
from tamis.pipeline.steps.write.config import Write
from tamis.pipeline.steps.write.vectors import SHORT, array_name, in_bytes, scale_name
from tamis.pipeline.store import numpy_arrays, storage
from tamis.pipeline.store.damage import require_content
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.columns import Float16s, vectors
from tamis.pipeline.tables.sids import row_of
from tamis.pipeline.tasks.parts import bundle_of
from tamis.schemas.scope import Scope

DAMAGE = (OSError, KeyError, RuntimeError, *numpy_arrays.DAMAGE)
"""Errors of numpy and zipfile on bytes that are none of theirs."""

Mismatch = tuple[str, str]
"""(path in the run, message)."""


class Array:
    """One array of an archive, read row after row."""

    def __init__(self, path: str, name: str) -> None:
        """Raise one of ``DAMAGE`` where there is none."""
        with ExitStack() as stack:
            file = stack.enter_context(storage.open_read(path))
            archive = stack.enter_context(zipfile.ZipFile(file))
            self._member = stack.enter_context(archive.open(f"{name}.npy"))
            self.shape, _, self._dtype = numpy_arrays.sound_header(cast(BinaryIO, self._member))
            self._open = stack.pop_all()

    def rows(self, count: int) -> npt.NDArray[Any]:
        """The next ``count`` rows; fewer at the end of the array."""
        width = int(np.prod(self.shape[1:])) * self._dtype.itemsize
        data = self._member.read(count * width)
        found = np.frombuffer(data[: len(data) // width * width], self._dtype)
        return found.reshape(-1, *self.shape[1:])

    def close(self) -> None:
        """Close the file."""
        self._open.close()


def rows_differ(path: str, rows: int) -> str | None:
    """The fault in the number of rows of an archive's arrays; None if there is none."""
    try:
        with storage.open_read(path) as file, zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
        for name in names:
            array = Array(path, name)
            array.close()
            if array.shape[0] != rows:
                return f"{name} has {array.shape[0]:,} rows, manifest.json says {rows:,}"
    except DAMAGE as error:
        require_content(error, path)
        return f"cannot be read: {' '.join(str(error).split())}"
    return None


def other_rows(run: FinishedRun) -> Iterator[Mismatch]:
    """Compare every row with the stored vector of its sample. Memory holds one part.

    What is wrong with the ledger or the tables is said elsewhere, and ends the comparison.
    """
    last = run.steps[-1] if run.steps else None
    if not isinstance(last, Write) or not last.embeddings:
        return
    for step in run.steps:
        name = step.makes_embedding
        if name and (last.embeddings == "all" or name in last.embeddings):
            for side in SHORT:
                yield from _other_rows(run, step.name, array_name(name, side), side, last)


def _other_rows(
    run: FinishedRun, step: str, name: str, side: str, write: Write
) -> Iterator[Mismatch]:
    path, opened = "", dict[str | None, _Shard]()  # by tier: each has shards of its own
    try:
        for tier, number, expected in _stored(run, step, side):
            path = f"shards/{shard_name(number, tier)}.npz"
            reader = opened.get(tier)
            if reader is None or reader.path != path:
                if reader is not None:
                    reader.close()
                    yield from reader.told()
                reader = opened[tier] = _Shard(run, path, name, write)
            reader.compare(expected)
        for reader in opened.values():
            yield from reader.told()
    except DAMAGE as error:
        require_content(error, path)
        yield path, f"{name} cannot be read: {' '.join(str(error).split())}"
    finally:
        for reader in opened.values():
            reader.close()


class _Shard:
    """The array of one shard, and that of its factors."""

    def __init__(self, run: FinishedRun, path: str, name: str, write: Write) -> None:
        self.path, self._name, self._wrong = path, name, 0
        self._in_bytes = write.embeddings_as == "int8"
        names = [name, scale_name(name)] if self._in_bytes else [name]
        self._arrays = [Array(storage.join(run.root, path), one) for one in names]

    def compare(self, expected: Float16s) -> None:
        """Compare the next rows with the stored vectors."""
        self._wrong += self._differing(expected)

    def told(self) -> Iterator[Mismatch]:
        """The fault found, if any."""
        if self._wrong:
            yield (
                self.path,
                f"{self._name}: {counted(self._wrong, 'row')} other than the stored vectors",
            )

    def _differing(self, expected: Float16s) -> int:
        """The number of the next rows that are not those of the stored vectors."""
        due: list[npt.NDArray[Any]] = [*in_bytes(expected)] if self._in_bytes else [expected]
        same = np.ones(len(expected), bool)
        for array, rows in zip(self._arrays, due, strict=True):
            found = array.rows(len(rows))
            if found.shape != rows.shape:
                return len(rows)
            same &= (found == rows).reshape(len(rows), -1).all(axis=1)
        return int((~same).sum())

    def close(self) -> None:
        """Close the files."""
        for array in self._arrays:
            array.close()


def _stored(run: FinishedRun, step: str, side: str) -> Iterator[tuple[str | None, int, Float16s]]:
    """The vectors of the kept samples, in order: the tier and the shard, and those of some of its samples."""
    tiers = tiering(run.steps)
    columns = ["sid", "kept", "shard", *([] if tiers is None else [tiers.signal])]
    for part in run.parts:
        bundle, group = bundle_of(part.number)
        name = f"{paths.LEDGER}/{paths.task_name(Scope.BUNDLE, bundle)}.parquet"
        try:
            stored = run.table(step, "vectors", paths.task_name(Scope.PART, part.number))
            with storage.open_table(storage.join(run.root, name)) as raw, ParquetFile(raw) as file:
                ledger = file.read_row_group(group, columns)
        except part_files.DAMAGE as error:
            require_content(error, name)
            return
        if stored is None or side not in stored.column_names:
            return
        kept = ledger.filter(ledger["kept"])
        rows = row_of(kept["sid"].to_numpy())
        found = vectors(stored[side])[np.searchsorted(stored["row"].to_numpy(), rows)]
        shards = kept["shard"].to_numpy()
        for tier in (None,) if tiers is None else tiers.each:
            of_tier = np.ones(len(shards), bool)
            if tiers is not None:
                of_tier = tiers.members(tier, kept[tiers.signal])
            for number in np.unique(shards[of_tier]).tolist():
                yield tier, int(number), found[of_tier & (shards == number)]
