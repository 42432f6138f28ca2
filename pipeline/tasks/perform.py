"""A task with its path and fingerprint, done in this process, and its outcome."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, overload

import pyarrow as pa

from tamis.pipeline.host import devices
from tamis.pipeline.host.metering import Meter
from tamis.pipeline.tables import part_files, writing
from tamis.pipeline.tables.file_columns import Ints
from tamis.pipeline.tables.part_files import DamagedTableError, TableFile
from tamis.pipeline.tasks import dealing
from tamis.pipeline.tasks.phase import Fingerprints, Phase, Tasks
from tamis.pipeline.tasks.row_reuse import Stored, with_stored_rows
from tamis.pipeline.tasks.task import Ahead, Attempt, Function, Task, TaskIo
from tamis.schemas.errors import ModelError, TamisError
from tamis.schemas.events import NOTHING, Spent
from tamis.schemas.scope import Scope


class LostError(Exception):
    """A process died that worked for a task."""


@dataclass(frozen=True)
class Work:
    """A task with the path and the fingerprint of its file."""

    task: Task[Any]
    path: str
    fingerprint: str
    attempt: Attempt = field(default_factory=Attempt)
    dealt: int | None = (
        None  # buckets of an exchange in two waves, see tamis.pipeline.tasks.dealing
    )

    @property
    def name(self) -> str:
        """The task's name; of a probe also its rows, and its sections."""
        spans = (self.attempt.span, self.attempt.sections)
        return ":".join([self.task.name, *(f"{a}-{b}" for a, b in filter(None, spans))])


class Works(Sequence[Work]):
    """The works of a phase that are to be done; each is built when it is asked for."""

    def __init__(
        self,
        tasks: Tasks[Any],
        folder: str,
        names: Sequence[str],
        fingerprints: Fingerprints,
        todo: Ints,
        attempt: Attempt,
        stored: Stored | None = None,
    ) -> None:
        """``names`` and ``fingerprints`` are those of all ``tasks``, ``todo`` the positions of those to be done."""
        self._tasks, self._folder, self._names, self._prints = tasks, folder, names, fingerprints
        self.todo, self._attempt, self._stored = todo, attempt, stored

    def __len__(self) -> int:
        return len(self.todo)

    def names(self) -> list[str]:
        """The names of the tasks."""
        return [self._names[task] for task in self.todo]

    def attempts(self) -> list[Attempt]:
        """The attempts of all."""
        return [self._attempt_of(int(task)) for task in self.todo]

    @overload
    def __getitem__(self, number: int) -> Work: ...
    @overload
    def __getitem__(self, number: slice) -> list[Work]: ...
    def __getitem__(self, number: int | slice) -> Work | list[Work]:
        if isinstance(number, slice):
            return [self._work(int(task)) for task in self.todo[number]]
        return self._work(int(self.todo[number]))

    def _work(self, task: int) -> Work:
        path = f"{self._folder}/{self._names[task]}.parquet"
        fingerprint = self._prints[task].tobytes().hex()
        attempt = self._attempt_of(task)
        buckets = self._tasks.buckets
        dealt = buckets if dealing.fan_of(buckets) > 1 else None
        return Work(self._tasks[task], path, fingerprint, attempt, dealt)

    def _attempt_of(self, task: int) -> Attempt:
        if self._stored is None:
            return self._attempt
        key, file = self._stored.find(task, self._names[task])
        return replace(self._attempt, rows_key=key, stored=file)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task: its file, or a failure that the run can deal with."""

    name: str
    seconds: float
    file: TableFile | None = None
    damaged: str | None = None  # path of a damaged table that it read
    error: TamisError | None = None
    died: bool = False  # its worker died or memory ran out, at every try
    bug: str | None = None  # the traceback of an unforeseen error
    rows: int = 0  # of a probe, which makes no file
    spent: Spent = NOTHING


def perform(function: Function, root: str, work: Work, ahead: Ahead = map) -> Outcome:
    """Run a task's function in this process and write its file; unforeseen errors are not caught."""
    started = time.perf_counter()
    meter = Meter(function)
    io = TaskIo(root, work.task, work.path, work.attempt)
    io.ahead = ahead
    try:
        if io.span is not None:
            rows = sum(table.num_rows for table in with_stored_rows(function, io))
            return Outcome(work.name, time.perf_counter() - started, rows=rows)
        # Not around the reads themselves: generators of a function that fails stay open until Python collects them.
        with part_files.kept_open() if io.task.scope is Scope.BUNDLE else nullcontext():
            tables = _made(function, io)
            tables = tables if work.dealt is None else dealing.joined(tables, work.dealt)
            file = writing.write(root, work.path, work.fingerprint, tables, io.footer)
    except DamagedTableError as damage:
        return Outcome(work.name, 0.0, damaged=damage.path)
    except TamisError as error:
        return Outcome(work.name, 0.0, error=error)
    except (LostError, MemoryError):
        return Outcome(work.name, 0.0, died=True)
    except RuntimeError as error:
        if not devices.is_out_of_memory(error):
            raise
        return Outcome(work.name, 0.0, error=_full(work.path, error))
    seconds = time.perf_counter() - started
    return Outcome(work.name, seconds, file, spent=meter.spent(file.written))


def _made(function: Function, io: TaskIo[Any]) -> Iterable[pa.Table]:
    """The row groups of the task's file."""
    if io.task.scope is not Scope.BUNDLE:
        return with_stored_rows(function, io)
    members = io.task.members
    assert members is not None, f"{io.path}: a bundle has parts"
    if members.together:
        return function(io)
    if members.buckets is None:
        return (table for part in io.parts() for table in function(part))
    return _by_bucket(function, io, members.buckets)


def _by_bucket(function: Function, io: TaskIo[Any], buckets: int) -> Iterator[pa.Table]:
    """A row group a bucket, with the rows of all parts."""
    tables: list[list[pa.Table]] = [[] for _ in range(buckets)]
    for part in io.parts():
        for of_bucket, table in zip(tables, function(part), strict=True):
            if table.num_rows or not of_bucket:
                of_bucket.append(table)
    for of_bucket in tables:
        yield pa.concat_tables(of_bucket).combine_chunks()
        of_bucket.clear()


def _full(path: str, error: RuntimeError) -> ModelError:
    why = " ".join(str(error).partition(". GPU ")[0].split())[:200]
    return ModelError(
        f"{path}: a GPU's memory is full ({why}): let fewer workers share it (a larger resources.gpus), close what "
        "else uses it, or take a smaller batch_size where it embeds, device: cpu where it clusters"
    )


class Here:
    """An executor in this process, one task after another, without Ray."""

    def __init__(self, root: str) -> None:
        self._root = root

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """Outcomes in the order of the tasks."""
        for work in works:
            yield perform(phase.function, self._root, work)

    def stop(self) -> None:
        """Do nothing: nothing was started."""
