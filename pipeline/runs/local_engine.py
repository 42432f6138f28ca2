"""Worker processes of this machine as the executor of tasks, without Ray: one for each processor.

They are forked from a process without threads (``tamis.pipeline.host.forkserver``), and stay from phase to phase; but
a phase that keeps models or centroids has workers of its own, so that what they hold goes with them. A worker is given
a chunk of tasks once it has done the last, and tells of each as it ends. All that a task may notice is as it is on
Ray: one thread, the same claims, the same tries.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from tamis.pipeline.host import at_work, interrupts, machine
from tamis.pipeline.host.forkserver import ForkServer, drain
from tamis.pipeline.runs import attempts
from tamis.pipeline.runs.window import Pace, Window, chunk
from tamis.pipeline.runs.worker import Order
from tamis.pipeline.tasks import claims
from tamis.pipeline.tasks.perform import Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.schemas.errors import ClusterError
from tamis.schemas.resources import Claimed, Resources

ENTRY = "tamis.pipeline.runs.worker:serve"
"""What a worker does."""


class LocalEngine:
    """Workers, begun when the first phase has something to do."""

    def __init__(
        self,
        root: str,
        resources: Resources,
        pending: Sequence[claims.Claim] = (),
        modules: Sequence[str] = (),
        heavy: Sequence[str] = (),
    ) -> None:
        """``pending``: claims of later tasks, checked before the first task begins.

        Args:
            root: of the run directory.
            resources: the job's; ``cpus`` is the number of workers.
            pending: the claims.
            modules: what the tasks' functions stand in: imported once, for all workers.
            heavy: what takes seconds to import, and only workers of a pool need: imported while others are at work.
        """
        self._root, self._pending = root, pending
        self._modules, self._heavy = list(modules), list(heavy)
        self._gpus = machine.gpus()
        self._node = {
            "CPU": float(resources.cpus or machine.processors()),
            "GPU": float(len(self._gpus)),
            "memory": float(machine.memory()),
        }
        self._server: ForkServer | None = None
        self._board: at_work.Board | None = None
        self._crew: dict[int, Connection] = {}  # by place, from 0

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """Do the tasks; outcomes come as they finish, in no order.

        Raises:
            BugError: a task failed in an unforeseen way.
            ClusterError: this machine lacks what a task claims.
        """
        self._start()
        return attempts.outcomes(phase, works, partial(self._once, phase))

    def _once(self, phase: Phase[Any], window: Window, alone: bool) -> Iterator[Outcome]:
        """Do every task once, ``alone`` or in chunks. Outcomes lost with a worker do not come."""
        claim, slots = phase.resources, self._slots(phase.resources)
        own = claim.pool or claim.gpus > 0
        if own:
            self._dismiss()
        function, pace = pickle.dumps(phase.function), Pace()
        busy: dict[Connection, int] = {}
        try:
            while window.left or busy:
                while window.left and len(busy) < slots:
                    size = chunk(window.left, slots, 1 if alone else pace.most())
                    works = pickle.dumps(window.take(size))
                    place = min(set(range(slots)) - set(busy.values()))
                    gpus = self._visible(claim, place)
                    board = None if self._board is None else (self._board.path, place)
                    order = Order(
                        function, self._root, alone, claim.decoding_tasks, gpus, works, board
                    )
                    busy[self._give(place, order)] = place
                for connection in wait(list(busy)):
                    assert isinstance(connection, Connection)
                    for outcome in self._heard(connection, busy):
                        pace.count(outcome.seconds)
                        yield outcome
        finally:
            if busy:
                self.stop()  # what is at work would go on, and be heard in another phase
            elif own:
                self._dismiss()

    def _give(self, place: int, order: Order) -> Connection:
        """Have the worker at that place begin; another where it is not there, or has died with nothing to do."""
        connection = self._crew.pop(place, None)
        if connection is not None:
            try:
                connection.send(order)
            except ConnectionError:
                connection.close()
            else:
                self._crew[place] = connection
                return connection
        connection = self._begin(place)
        connection.send(order)
        return connection

    def _begin(self, place: int) -> Connection:
        assert self._server is not None
        with interrupts.defer():  # a worker that nobody knows could not be waited for
            self._crew[place] = self._server.fork()
        return self._crew[place]

    def _heard(self, connection: Connection, busy: dict[Connection, int]) -> Iterator[Outcome]:
        """The reports of a worker; it is no longer ``busy`` where it has done its chunk, or died."""
        try:
            outcome: Outcome | None = connection.recv()
        except (EOFError, OSError):  # the second where it died within a message
            place = busy.pop(connection)
            del self._crew[place]
            if self._board is not None:
                self._board.clear(place)
            connection.close()
            return
        if outcome is None:
            del busy[connection]
        else:
            yield outcome

    def _dismiss(self) -> None:
        """Let all workers end: they do once nobody speaks to them."""
        for connection in self._crew.values():
            connection.close()
        self._crew.clear()

    def _slots(self, claim: Claimed) -> int:
        """Number of tasks that are at work at once.

        Raises:
            ClusterError: this machine cannot carry one.
        """
        fitting = claims.fitting(claim, [self._node], grows=False)
        if 0 < claim.gpus < 1:
            fitting = min(fitting, len(self._gpus) * int(1 / claim.gpus))
        return min(fitting, claim.workers or fitting)

    def _visible(self, claim: Claimed, place: int) -> str | None:
        """The GPUs of the worker at a place; None where it holds none."""
        if not claim.gpus:
            return None
        if claim.gpus < 1:
            return self._gpus[place // int(1 / claim.gpus)]
        first = int(place * claim.gpus)
        return ",".join(self._gpus[first : first + int(claim.gpus)])

    def _start(self) -> None:
        if self._server is not None:
            return
        for claim in self._pending:
            self._check(claim)
        self._board = at_work.Board(int(self._node["CPU"]))
        at_work.show(self._board)
        with interrupts.defer():  # one half begun could not be ended
            self._server = ForkServer(ENTRY)
        self._server.preload(self._modules)
        self._server.wait()  # here a signal is heard
        for place in range(int(self._node["CPU"])):
            self._begin(place)
        self._server.preload(self._heavy)  # until it is done, nothing is forked

    def _check(self, claim: claims.Claim) -> None:
        try:
            self._slots(Claimed(claim.cpus, claim.gpus, claim.memory or None))
        except ClusterError as error:
            raise ClusterError(f"{claim.step}: {error}") from None

    def stop(self) -> None:
        """End all workers at once; the next phase begins others."""
        if self._server is None:
            return
        with interrupts.defer():
            self._server.stop()
            for connection in self._crew.values():
                drain(connection)
            self._crew.clear()
            self._server = None
            if self._board is not None:
                at_work.show(None)
                self._board.close()
                self._board = None
