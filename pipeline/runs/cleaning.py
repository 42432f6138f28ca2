"""Removal of the tables of a finished run that only an exchange needed.

Each step declares them (``Step.passing``); and the first wave of an exchange in two is read by the second alone. A
cleared phase keeps its index, so that a run with nothing to do has nothing to do. Where a task reads such a table, the
phase is made again, from tables that stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tamis.pipeline.store import storage
from tamis.pipeline.store.lease import Lease
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks import dealing
from tamis.pipeline.tasks.dealing import DEALT
from tamis.pipeline.tasks.phase_index import TASK_FILE
from tamis.pipeline.tasks.sources import INDEX
from tamis.pipeline.tasks.step import Step

AT_ONCE = 16
"""Files removed at once."""


@dataclass(frozen=True)
class Passing:
    """The tables of a phase that may go."""

    step: str
    phase: str
    files: tuple[str, ...]
    bytes: int


def passing(root: str, steps: Sequence[Step]) -> Iterator[Passing]:
    """The phases of the run at ``root`` whose tables may go, in the order of its steps."""
    for step in steps:
        phases = storage.folders_in(storage.join(root, paths.TABLES, step.name))
        for phase in phases:
            first = phase.removesuffix(DEALT)
            is_passing = any(fnmatchcase(first, pattern) for pattern in step.passing)
            if is_passing or f"{phase}{DEALT}" in phases:
                folder = storage.join(root, paths.folder(step.name, phase))
                sizes = storage.listing(folder)
                files = sorted(name for name in sizes if TASK_FILE.fullmatch(name))
                if not files or INDEX not in sizes:
                    continue
                if is_passing or _is_dealt_out(storage.join(folder, files[0])):
                    size = sum(sizes[name] for name in files)
                    yield Passing(step.name, phase, tuple(files), size)


def _is_dealt_out(path: str) -> bool:
    """Whether a table's rows say to which bucket a second wave deals them; one of an earlier job may lie beside."""
    with storage.open_table(path) as raw, ParquetFile(raw) as file:
        return dealing.BUCKET in file.schema_arrow.names


def clear(root: str, phases: Sequence[Passing]) -> None:
    """Remove the tables of ``phases``.

    Raises:
        StateError: a run is at work in the directory.
    """
    with Lease(root), ThreadPoolExecutor(AT_ONCE) as pool:
        for found in phases:
            folder = storage.join(root, paths.folder(found.step, found.phase))
            storage.write_bytes(storage.join(folder, paths.CLEARED), b"`tamis clean` was here\n")
            files = (storage.join(folder, name) for name in found.files)
            for _ in pool.map(storage.delete, files):
                pass
