"""Edges of a finished run's steps: the pairs that were found alike, as ``tables/`` holds them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tables.columns import mask, numbers
from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tables.part_files import DamagedTableError
from tamis.pipeline.tasks.phase_index import read_index

MOST = 8_000_000
"""Edges among which a sample's are looked for: 8 bytes of each are read."""


def unsearched(root: str, step: str, phases: Sequence[str]) -> int | None:
    """Samples of which a step left a pair out; None where ``tables/`` has been cleared."""
    files = _indices(root, step, phases)
    return None if files is None else _counted(files, "unsearched")


def by_hash(root: str, step: str) -> int:
    """Samples that a step decided in the order of a hash, since the rounds of ``leading`` came to no end."""
    folder = storage.join(root, paths.TABLES, step)
    rounds = [name for name in storage.folders_in(folder) if name.startswith("round-")]
    files = _indices(root, step, rounds) if rounds else None
    return 0 if files is None else _counted(files, "by_hash")


def to_preferred(root: str, step: str, phases: Sequence[str], sid: int) -> pa.Table | None:
    """A sample's edges to those that are preferred to it.

    None where some may not be stored (something is unsearched, ``tables/`` has been cleared), or there are more edges
    than are looked through.

    Raises:
        StateError: a table is damaged.
    """
    files = _indices(root, step, phases)
    if (
        files is None
        or _counted(files, "unsearched")
        or sum(int(file.rows.sum()) for file in files) > MOST
    ):
        return None
    found: list[pa.Table] = []
    for phase in files:
        for position in range(len(phase)):
            piece = phase.file(position).slice()
            try:
                own = numbers(part_files.read(root, piece, ["sid_b"])["sid_b"]) == sid
                if not found or own.any():
                    found.append(part_files.read(root, piece).filter(mask(own)))
            except DamagedTableError as damage:
                path, why = damage.args
                raise part_files.damage_error(part_files.path_of(root, path), why) from None
    return pa.concat_tables(found) if found else None


def _indices(root: str, step: str, phases: Sequence[str]) -> list[FileColumns] | None:
    files = [read_index(root, paths.folder(step, phase)) for phase in phases]
    found = [file for file in files if file is not None]
    return found if found and len(found) == len(files) else None


def _counted(files: Sequence[FileColumns], name: str) -> int:
    return sum(notes["counts"].get(name, 0) for file in files for notes in file.counted_notes())
