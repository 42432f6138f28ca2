"""Tables of a finished run that another takes: found by the plan, copied by a task, and known by their digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.part_files import DamagedTableError, TableFile
from tamis.pipeline.tasks.task import TaskIo, location
from tamis.schemas.errors import StateError


@dataclass(frozen=True)
class Loan:
    """Arguments of ``copy``."""

    digest: str
    root: str = location()
    path: str = location()  # below the root
    bytes: int = location()


def inspected(root: str, path: str, shown: str) -> TableFile:
    """The record of a table of a finished run.

    Raises:
        StateError: it is damaged; ``shown`` names the run.
    """
    size = storage.stat(storage.join(root, path)).size
    file = part_files.inspect(root, path, size)
    if file is None:
        raise StateError(f"{shown}: {path} is damaged: run that job again")
    return file


def loan(root: str, path: str, shown: str) -> Loan:
    """The arguments that take a table of a finished run.

    Raises:
        StateError: as ``inspected``.
    """
    file = inspected(root, path, shown)
    return Loan(file.digest, root=root, path=path, bytes=file.bytes)


def copy(io: TaskIo[Loan]) -> Iterator[pa.Table]:
    """The table.

    Raises:
        StateError: as ``read``.
    """
    args = io.args
    yield read(args.root, args.path, args.bytes, args.digest)


def read(root: str, path: str, size: int, digest: str) -> pa.Table:
    """A table that has the digest which it had when the run began.

    Raises:
        StateError: it has another, or is damaged.
    """
    file = part_files.inspect(root, path, size)
    if file is None or file.digest != digest:
        raise StateError(
            f"{storage.redact(root)}: {path} has changed since this run began: start it again"
        )
    try:
        return part_files.read(root, file.slice())
    except DamagedTableError as damage:
        raise StateError(
            f"{storage.redact(root)}: {path} is damaged ({damage.args[1]}): run that job again"
        ) from None
