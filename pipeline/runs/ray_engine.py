"""Ray as the executor of tasks.

This module and ``ray_connection`` alone import ray. A phase goes one of two ways. In both, tasks are looked at and
pickled a chunk at a time, shortly before a worker is free for them; and no sample and no picture travels through Ray's
object store, only tasks (in) and the records of part files (out).

- *calls*: plain Ray tasks, three for each worker at once, each of as many of our tasks as take a second.
- *pipeline*: one Ray Data pass, where a phase carries bytes of the input, or keeps a model in a pool of actors. A row
  is a chunk of up to ``ROW`` tasks. To begin a pass takes a third of a second, and some seconds the first time: a
  single task is a call in any case.
"""

from __future__ import annotations

import gc
import pickle
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, cast

import numpy as np

from tamis.pipeline.host import at_work, interrupts
from tamis.pipeline.host.lookahead import in_order
from tamis.pipeline.runs import attempts, ray_connection
from tamis.pipeline.runs.metrics import Metrics
from tamis.pipeline.runs.tally import Asked, Tally, Teller
from tamis.pipeline.runs.window import Pace, Window, chunk, chunks
from tamis.pipeline.runs.worker import Worker
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks import claims
from tamis.pipeline.tasks.perform import LostError, Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.pipeline.tasks.task import Function
from tamis.schemas.errors import ClusterError
from tamis.schemas.resources import Claimed, Resources

CALLS = 3
"""Calls under way at once for each worker: one that it does, and two that wait, so that it need not."""

ROW = 64
"""Tasks of a row of a pipeline, at most. A row costs the driver ten milliseconds or so, however few tasks it has."""

ROWS = 4
"""Rows for each worker that are out at once, at most."""

SMALL = 512
"""Tasks of a pass that all begin with it: so few are not worth a feed, which is another process."""

REPORTS = 2
"""Outcomes of unfinished rows that reach the driver, a second, from all workers together."""

WAITING = 100_000
"""Workers that can wait for a chunk at the same time."""

REFRESH = 10.0
"""Seconds after which the nodes of a Ray cluster are counted again."""


class RayMap:
    """``map`` by Ray tasks, in order, on one processor each; at most ``limit`` at once."""

    def __init__(self, limit: int) -> None:
        import ray

        self._limit = limit
        self._call = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(_applied)

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Yield the results; an error of ``function`` is raised here.

        Raises:
            LostError: a process died at its call.
        """
        begin = partial(self._call.remote, function)
        yield from in_order(begin, _result, items, self._limit)


def _applied(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


def _result(reference: Any) -> Any:
    import ray
    from ray import exceptions

    try:
        return ray.get(reference)
    except exceptions.RayTaskError as error:
        raise error.cause from None
    except _lost() as error:
        raise LostError(str(error)) from None


def _lost() -> tuple[type[Exception], ...]:
    """Errors of Ray where a process or a node has ended with what it was to give."""
    from ray import exceptions

    return (
        exceptions.NodeDiedError,
        exceptions.ObjectLostError,
        exceptions.OutOfMemoryError,
        exceptions.RayActorError,
        exceptions.WorkerCrashedError,
    )


def _worker(
    function: Function, root: str, again: bool, decoding_tasks: int, tell: Teller
) -> Worker:
    ahead = RayMap(decoding_tasks) if decoding_tasks else map
    return Worker(function, root, again, ahead, tell)


def do_tasks(
    function: Function, root: str, again: bool, decoding_tasks: int, tell: Teller, works: bytes
) -> list[Outcome]:
    """A call: the outcomes of pickled tasks."""
    return list(_worker(function, root, again, decoding_tasks, tell).outcomes(works))


class _Row:
    """The stage of a pipeline: a row is a chunk of tasks, or empty, and then the next is taken from ``feed``."""

    def __init__(self, begin: Callable[[], Worker], seconds: float, feed: Any) -> None:
        self._worker, self._seconds, self._feed = begin(), seconds, feed

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Lists of outcomes, pickled, as they come."""
        import ray

        for row in batch["works"]:
            works = row
            while works == b"":
                works = ray.get(self._feed.take.remote())
                if (
                    not works
                ):  # where workers have died, nobody else wakes the driver, so that it adds more
                    yield _told([])
            if works is not None:
                yield from map(_told, self._worker.reports(works, self._seconds))


def _beside(actor: type, **options: Any) -> Any:
    """A kind of actor that runs on the driver's node and claims nothing."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return cast(Any, ray.remote)(num_cpus=0, scheduling_strategy=here, **options)(actor)


def _told(outcomes: list[Outcome]) -> dict[str, Any]:
    return {"outcomes": np.array([pickle.dumps(outcomes)], dtype=object)}


class _Supply:
    """Hands chunks of a window, of these sizes, to the workers of one pass, where there is room for them."""

    def __init__(self, window: Window, sizes: Sequence[int], slots: int) -> None:
        from tamis.pipeline.runs.feed import (
            Feed,
        )  # asyncio takes its time, and not every run has a feed

        self._window, self._sizes, self._added = window, iter(sizes), 0
        self._most = ROWS * slots
        self.feed = _beside(Feed, max_concurrency=WAITING).remote(len(sizes), slots)
        self.fill()

    def fill(self, starved: bool = False) -> None:
        """Add what there is room for; at least a chunk where a worker is ``starved``: of what is out, some was lost."""
        import ray

        more = max(int(starved), self._most - self._window.out // ROW)
        if self._window.left and more > 0:
            room = ray.get(self.feed.room.remote(self._added))
            sizes = islice(self._sizes, min(room, more))
            added = [pickle.dumps(self._window.take(size)) for size in sizes]
            self._added += len(added)
            if added:
                self.feed.add.remote(added)


class RayEngine:
    """A connection to Ray, started when the first phase has something to do."""

    def __init__(
        self,
        root: str,
        resources: Resources,
        address: str | None = None,
        pending: Sequence[claims.Claim] = (),
    ) -> None:
        """``pending``: claims of later tasks, checked against the nodes before the first task begins."""
        ray_connection.check_address(address)
        self._root, self._resources, self._address = root, resources, address
        self._pending = pending
        self._started = False
        self._metrics: Metrics | None = None
        self._asked: Asked | None = None

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """Do the tasks; outcomes come as they finish, in no order.

        Tasks whose worker dies are begun again in fresh workers, on the nodes of that time.

        Raises:
            BugError: a task failed in an unforeseen way.
        """
        self._start()
        for outcome in attempts.outcomes(phase, works, partial(self._once, phase)):
            if outcome.file:
                self._count(outcome.file, outcome.seconds)
            yield outcome

    def _count(self, file: TableFile, seconds: float) -> None:
        if self._asked:
            self._asked.ended(file.written)
        if self._metrics:
            self._metrics.count(file, seconds)

    def _once(self, phase: Phase[Any], window: Window, alone: bool) -> Iterator[Outcome]:
        """Do every task once, ``alone`` or in chunks. Outcomes lost with a worker do not come."""
        if window.left > 1 and (phase.carries_bytes or phase.resources.pool):
            return self._in_pipeline(phase, window, alone)
        return self._in_calls(phase, window, alone)

    def _in_calls(self, phase: Phase[Any], window: Window, alone: bool) -> Iterator[Outcome]:
        import ray

        claim = phase.resources
        options: dict[str, Any] = {
            **_options(claim),
            "max_retries": 0,
            "scheduling_strategy": "SPREAD" if self._address else "DEFAULT",
            "enable_task_events": False,  # Ray would keep four kilobytes for each call
        }
        call = cast(Any, ray.remote)(**options)(do_tasks)
        pace, slots, counted = Pace(), self._slots(claim), time.monotonic()
        tell = self._teller(slots)
        settings = (phase.function, self._root, alone, claim.decoding_tasks, tell)
        pending: list[Any] = []
        # Calls under way when a run stops end with the connection to Ray. Ray's own cancelling of a call that is about
        # to end may abort this process (2.60: "Tried to complete task that was not pending").
        while window.left or pending:
            if time.monotonic() - counted >= REFRESH:
                slots, counted = self._slots(claim), time.monotonic()
            while window.left and len(pending) < CALLS * slots:
                size = chunk(window.left, slots, 1 if alone else pace.most())
                pending.append(call.remote(*settings, pickle.dumps(window.take(size))))
            for outcome in self._ended(pending):
                pace.count(outcome.seconds)
                yield outcome

    def _ended(self, pending: list[Any]) -> Iterator[Outcome]:
        """Wait for calls, remove those that have ended, and give their outcomes."""
        import ray

        ray.wait(pending)
        ready, pending[:] = ray.wait(pending, num_returns=len(pending), timeout=0)
        for reference in ready:
            with suppress(*_lost()):
                yield from ray.get(reference)

    def _in_pipeline(self, phase: Phase[Any], window: Window, alone: bool) -> Iterator[Outcome]:
        claim, slots = phase.resources, self._slots(phase.resources)
        sizes = list(chunks(window.left, slots, 1 if alone else ROW))
        supply = None
        if window.left <= SMALL:
            rows = [pickle.dumps(window.take(size)) for size in sizes]
        else:
            supply = _Supply(window, sizes, slots)
            # Some to spare: a worker that dies may take two rows along, of which one had no chunk yet.
            rows = [b""] * (len(sizes) + slots)
        tell = self._teller(slots)
        begin = partial(_worker, phase.function, self._root, alone, claim.decoding_tasks, tell)
        results = self._pass(claim, rows, (begin, slots / REPORTS, supply and supply.feed), alone)
        try:
            for batch in results:
                for told in batch["outcomes"].to_pylist():
                    outcomes = pickle.loads(told)  # noqa: S301 - from our own workers
                    yield from outcomes
                    if supply:
                        supply.fill(starved=not outcomes)
        except _lost():
            return  # outcomes were lost with their node: `run` tries those tasks again
        finally:
            del results
            if window.out:  # circles of Ray Data's hold the actors that came for dead ones, and these their processors
                gc.collect()

    def _pass(
        self, claim: Claimed, rows: Sequence[bytes], arguments: tuple[Any, ...], alone: bool
    ) -> Iterator[Any]:
        """The batches that come out of a Ray Data pass over ``rows``; ``arguments`` are those of ``_Row``."""
        ray_data = ray_connection.ray_data()
        options = {"batch_size": 1, **_options(claim)}
        source = ray_data.from_items(
            [{"works": row} for row in rows], override_num_blocks=len(rows)
        )
        with warnings.catch_warnings():
            # Ray Data has no other setting yet for the number of tries.
            warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
            if claim.pool:
                results = source.map_batches(
                    _Row,
                    fn_constructor_args=arguments,
                    compute=ray_data.ActorPoolStrategy(
                        **self._pool(claim, len(rows)),
                        max_tasks_in_flight_per_actor=1 if alone else None,
                    ),
                    # A restarted worker may wait for a node that never comes: its task must not wait with it.
                    max_task_retries=0,
                    **options,
                )
            else:
                # The bound method of an object: Ray Data would take the object itself for an actor class.
                row = cast(Any, _Row(*arguments).__call__)
                results = source.map_batches(row, max_retries=0, **options)
        # Ahead of need it would hold each batch back until the next is there.
        batches = results.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow")
        return iter(cast(Iterable[Any], batches))

    def _teller(self, workers: int) -> Teller:
        """How the workers of a pass, so many at first, tell how far they are."""
        assert self._asked is not None, "Ray was started"
        return self._asked.begin(workers)

    def _pool(self, claim: Claimed, rows: int) -> dict[str, Any]:
        """The pool's size in workers: those that fit now; on a Ray cluster it may grow."""
        if claim.workers:
            return {"size": min(rows, claim.workers)}
        fitting = min(rows, self._fitting(claim))
        if not self._address:
            return {"size": fitting}
        return {"min_size": 1, "initial_size": max(1, fitting), "max_size": rows}

    def _slots(self, claim: Claimed) -> int:
        """Number of workers that tasks are handed out for."""
        fitting = max(1, self._fitting(claim))
        return min(fitting, claim.workers or fitting)

    def _fitting(self, claim: Claimed) -> int:
        """Number of workers that the nodes carry at once; 0 only where a node is yet to join the Ray cluster.

        Raises:
            ClusterError: no node can carry one, so that its task would wait for ever.
        """
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        grows = self._resources.grows or not claims.exceeds_one_cpu(claim)
        return claims.fitting(claim, nodes, bool(self._address) and grows)

    def _start(self) -> None:
        if not self._started:
            with interrupts.defer():  # half a Ray could not be stopped
                ray_connection.open_(self._address, self._resources)
            self._started = True
            self._asked = Asked(_beside(Tally).remote())
            at_work.show(self._asked)
            if self._address:
                from ray.util.metrics import Counter

                self._metrics = Metrics(self._root, cast(Any, Counter))
            for claim in self._pending:
                self._check(claim)

    def _check(self, claim: claims.Claim) -> None:
        try:
            self._fitting(Claimed(claim.cpus, claim.gpus, claim.memory or None))
        except ClusterError as error:
            raise ClusterError(f"{claim.step}: {error}") from None

    def stop(self) -> None:
        """Leave Ray, if it was started."""
        if self._started:
            import ray

            self._hide()
            ray.shutdown()
            self._started = False

    def _hide(self) -> None:
        """Tell no more how far tasks are."""
        if self._asked is not None:
            at_work.show(None)
            self._asked.close()
            self._asked = None


def _options(claim: Claimed) -> dict[str, Any]:
    return {"num_cpus": claim.cpus, "num_gpus": claim.gpus or None, "memory": claim.memory}
