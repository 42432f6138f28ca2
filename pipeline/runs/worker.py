"""A process that does tasks for an engine, a chunk of them at a time; nothing here imports Ray."""

from __future__ import annotations

import os
import pickle
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from tamis.pipeline.host import at_work
from tamis.pipeline.host.lookahead import in_order
from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks.perform import Outcome, Work, perform
from tamis.pipeline.tasks.task import Ahead, Function


class Worker:
    """Does pickled chunks of tasks; each file is there as soon as its task is done.

    ``again``: these tasks were at work in a chunk whose process died: what was done is found, not repeated.
    ``tell``: how this process tells how far it is, see ``at_work``; None where that is settled.
    """

    def __init__(
        self,
        function: Function,
        root: str,
        again: bool = False,
        ahead: Ahead = map,
        tell: Callable[[int], None] | None = None,
    ) -> None:
        self._function, self._root, self._again, self._ahead = function, root, again, ahead
        self._tell = tell

    def outcomes(self, chunk: bytes) -> Iterator[Outcome]:
        """The outcomes of a chunk, one after another; a bug is the last."""
        if self._tell is not None:
            at_work.tell_by(self._tell)
        for work in pickle.loads(chunk):  # noqa: S301 - from our own driver
            at_work.begin()
            outcome = self._outcome(work)
            at_work.begin()
            yield outcome
            if outcome.bug:
                return

    def reports(self, chunk: bytes, seconds: float) -> Iterator[list[Outcome]]:
        """The same in lists: one at the end, one at once where no file was made, and one each so many seconds."""
        held: list[Outcome] = []
        told = time.monotonic()
        for outcome in self.outcomes(chunk):
            held.append(outcome)
            if outcome.file is None or time.monotonic() - told >= seconds:
                yield held
                held, told = [], time.monotonic()
        if held:
            yield held

    def _outcome(self, work: Work) -> Outcome:
        try:
            file = finished(self._root, work) if self._again else None
            if file is not None:
                return Outcome(work.name, 0.0, file)
            return perform(self._function, self._root, work, self._ahead)
        except Exception:  # noqa: BLE001 - Ray Data goes on without a row that fails: it must not be the one to see it
            return Outcome(work.name, 0.0, bug=traceback.format_exc())


def finished(root: str, work: Work) -> TableFile | None:
    """The task's file, where it stands with all that it lists; None where it has to be made, or this is a probe."""
    found = None if work.attempt.span else storage.find(storage.join(root, work.path))
    file = part_files.inspect(root, work.path, found.size) if found else None
    if file is None or file.fingerprint != work.fingerprint:
        return None
    for output in file.notes.get("outputs", ()):
        beside = storage.find(storage.join(root, output["path"]))
        if beside is None or beside.size != output["bytes"]:
            return None
    return file


@dataclass(frozen=True)
class Order:
    """An order to a worker without Ray: a pickled chunk of tasks, by a pickled function."""

    function: bytes
    root: str
    again: bool
    decoding: int  # calls of ``TaskIo.ahead`` at work at once
    gpus: str | None  # that its tasks hold, as ``CUDA_VISIBLE_DEVICES`` names them
    works: bytes
    board: tuple[str, int] | None = None  # the path of ``at_work.Board``, and the worker's place

    def outcomes(self) -> Iterator[Outcome]:
        """Of its tasks, as they come; a bug is the last."""
        if self.board is not None:
            at_work.join(*self.board)
        if self.gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus
        try:
            function = pickle.loads(self.function)  # noqa: S301 - from our own driver
        except Exception:  # noqa: BLE001 - the driver raises it
            yield Outcome("", 0.0, bug=traceback.format_exc())
            return
        ahead = ThreadMap(self.decoding) if self.decoding else map
        yield from Worker(function, self.root, self.again, ahead).outcomes(self.works)


def serve(connection: Connection) -> None:
    """Do orders until nobody is there to give one: each is answered by its outcomes, then by None."""
    with suppress(EOFError, OSError):
        while True:
            order: Order = connection.recv()
            for outcome in order.outcomes():
                connection.send(outcome)
            connection.send(None)


class ThreadMap:
    """``map`` by threads of this process, in order; at most ``limit`` calls at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Yield the results; an error of ``function`` is raised here."""
        with ThreadPoolExecutor(self._limit) as pool:
            yield from in_order(partial(_begin, pool, function), Future.result, items, self._limit)


def _begin(pool: ThreadPoolExecutor, function: Callable[[Any], Any], item: Any) -> Future[Any]:
    return pool.submit(function, item)
