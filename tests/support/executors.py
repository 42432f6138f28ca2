"""Executors that do what Ray may do, or what must not happen: another order, a death, nothing."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import psutil
import ray

from tamis.pipeline.host import at_work
from tamis.pipeline.host.forkserver import ForkServer
from tamis.pipeline.runs import ray_connection
from tamis.pipeline.runs.local_engine import LocalEngine
from tamis.pipeline.runs.ray_engine import RayEngine
from tamis.pipeline.runs.tally import Asked
from tamis.pipeline.tasks.perform import Here, Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.schemas.resources import Resources


class Never(Here):
    """Must not be asked."""

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        raise AssertionError(f"{phase.name}: {[work.path for work in works]}")


class Backwards(Here):
    """Does the last task of a phase first, and tells of them in any order."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._draw = random.Random(1)

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        done = list(super().run(phase, works[::-1]))
        yield from self._draw.sample(done, len(done))


class KilledError(Exception):
    """The driver is gone."""


class Counted(Here):
    """Notes what is done; dies, where it is told to, when ``alive`` tasks of the folder ``dying`` are.

    ``seed``: the tasks of a phase are done in any order.
    """

    def __init__(self, root: str, dying: str = "", alive: int = 0, seed: int | None = None) -> None:
        super().__init__(root)
        self.done: list[str] = []
        self._dying, self._alive = dying, alive
        self._draw = None if seed is None else random.Random(seed)

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        for work in works if self._draw is None else self._draw.sample(works, len(works)):
            (outcome,) = super().run(phase, [work])
            self.done.append(work.path)
            if work.path.rpartition("/")[0] == self._dying:
                self._alive -= 1
                if not self._alive:
                    raise KilledError
            yield outcome


class SharedRay:
    """A Ray with two processors that runs share, begun as a run begins its own, and what tells how far they are."""

    def __init__(self) -> None:
        ray_connection.open_(None, Resources(cpus=2))
        self.asked: Asked | None = None

    def stop(self) -> None:
        """End it."""
        ray.shutdown()


class OnSharedRay(RayEngine):
    """Real workers, of a Ray that others use too: it is left running, and with it what tells how far tasks are."""

    def __init__(self, root: str, shared: SharedRay) -> None:
        super().__init__(root, Resources(cpus=2))
        self._shared = shared

    def _start(self) -> None:
        if self._shared.asked is None:
            super()._start()
            self._shared.asked = self._asked
        self._asked, self._started = self._shared.asked, True

    def stop(self) -> None:
        at_work.show(None)
        self._started = False


class OnSharedWorkers(LocalEngine):
    """Real workers without Ray, of a process that others fork from too: it is left running.

    ``kills``: after so many outcomes, counted from phase to phase, one of the workers is killed, again and again.
    """

    def __init__(self, root: str, resources: Resources, server: ForkServer, kills: int = 0) -> None:
        super().__init__(root, resources)
        self._shared, self._kills, self._left = server, kills, kills
        self.killed = 0

    def _start(self) -> None:
        self._server = self._shared

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        for outcome in super().run(phase, works):
            self._left -= 1
            if self._kills and self._left <= 0:
                self._kill()
            yield outcome

    def _kill(self) -> None:
        workers = psutil.Process(self._shared.pid).children()
        if workers:
            workers[self.killed % len(workers)].send_signal(signal.SIGKILL)
            self.killed, self._left = self.killed + 1, self._kills

    def stop(self) -> None:
        self._dismiss()
        self._server = None
