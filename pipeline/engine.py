"""Ray, and nothing else: takes the tasks of a phase, has them done somewhere, hands back what they made.

This is the only module that imports ray. Each phase is one Ray Data pass over rows that are tasks; no sample and
no picture ever travels through Ray's object store, only tasks (in) and the records of part files (out).
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from pipeline import claims, tables
from pipeline.ahead import in_order
from pipeline.metering import Meter
from pipeline.metrics import Metrics
from pipeline.phases import Ahead, Function, Phase, Resources, Task, TaskIo
from pipeline.reuse import completed
from pipeline.tables import DamagedTableError, TableFile
from schemas.errors import BugError, ClusterError, StateError, TamisError
from schemas.events import NOTHING, Spent
from schemas.job import Resources as Machine

SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


SYSTEM = {
    # A worker that idles while a pool is at work is kept: to start another takes seconds, and it comes without caches.
    "num_workers_soft_limit": 64,
    "idle_worker_killing_time_threshold_ms": 3_600_000,
    # What is ended for want of memory counts as any other death: by default Ray would begin it again for ever.
    "task_oom_retries": 0,
}
"""Settings of the Ray that is started here."""


class LostError(Exception):
    """What a task had others do ended with the process that did it."""


@dataclass(frozen=True)
class Work:
    """A task, where its file goes, and the fingerprint that the file will carry."""

    task: Task
    path: str
    fingerprint: str


@dataclass(frozen=True)
class Outcome:
    """What came of a task: its file, or what went wrong that the run can deal with."""

    name: str
    seconds: float
    file: TableFile | None = None
    damaged: str | None = None  # an input file that has to be made again
    error: TamisError | None = None
    died: bool = False  # with its worker, or of a lack of memory: each time that it was tried
    bug: str | None = None  # the traceback of an error that is nobody's but ours
    rows: int = 0  # of a probe, which makes no file
    spent: Spent = NOTHING


def perform(function: Function, root: str, work: Work, ahead: Ahead = map) -> Outcome:
    """Do one task here: run its function and write its file. Errors that are not ours are not caught."""
    started = time.perf_counter()
    meter = Meter(function)
    io = TaskIo(root, work.task, work.path)
    io.ahead = ahead
    try:
        if io.span is not None:
            rows = sum(table.num_rows for table in completed(function, io))
            return Outcome(work.task.name, time.perf_counter() - started, rows=rows)
        file = tables.write(root, work.path, work.fingerprint, completed(function, io), io.footer)
    except DamagedTableError as damage:
        return Outcome(work.task.name, 0.0, damaged=damage.path)
    except TamisError as error:
        return Outcome(work.task.name, 0.0, error=error)
    except (LostError, MemoryError):
        return Outcome(work.task.name, 0.0, died=True)
    seconds = time.perf_counter() - started
    return Outcome(work.task.name, seconds, file, spent=meter.spent(file))


class Elsewhere:
    """As ``map``, in order, by Ray tasks on a processor each, wherever one is free; ``most`` are at work at once."""

    def __init__(self, most: int) -> None:
        import ray

        self._most = most
        self._call = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(_applied)

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """The results.

        Raises:
            LostError: a process ended with what it did. What ``function`` raises is raised here.
        """
        begin = partial(self._call.remote, function)
        yield from in_order(begin, _result, items, self._most)


def _applied(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


def _result(reference: Any) -> Any:
    import ray
    from ray import exceptions

    try:
        return ray.get(reference)
    except exceptions.RayTaskError as error:
        raise error.cause from None
    except (
        exceptions.ObjectLostError,
        exceptions.OutOfMemoryError,
        exceptions.WorkerCrashedError,
    ) as error:
        raise LostError(str(error)) from None


class _Worker:
    """One process of a pool. What it loads, its functions keep in module-level caches."""

    def __init__(self, function: Function, root: str, ahead: int = 0) -> None:
        self._function, self._root = function, root
        self._ahead: Ahead = Elsewhere(ahead) if ahead else map

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of pickled works -> a batch of pickled outcomes."""
        outcomes = [self._perform(pickle.loads(raw)) for raw in batch["work"]]  # noqa: S301 - from our own driver
        return {"outcome": np.array([pickle.dumps(outcome) for outcome in outcomes], dtype=object)}

    def _perform(self, work: Work) -> Outcome:
        try:
            return perform(self._function, self._root, work, self._ahead)
        except Exception:  # noqa: BLE001 - Ray goes on without a block that fails: it must not be the one to see it
            return Outcome(work.task.name, 0.0, bug=traceback.format_exc())


class Engine:
    """A connection to Ray, started when the first phase has something to do."""

    def __init__(self, root: str, machine: Machine, address: str | None = None) -> None:
        check_address(address)
        self._root, self._machine, self._address = root, machine, address
        self._started = False
        self._metrics: Metrics | None = None

    def run(self, phase: Phase, works: Sequence[Work]) -> Iterator[Outcome]:
        """Have the tasks done; outcomes come as they finish, in no order.

        Tasks whose worker dies are begun again when the others are through, in fresh workers on the nodes that are
        then there, each with a worker to itself: no task is blamed for another.

        Raises:
            BugError: a task failed in a way that is not foreseen.
        """
        self._start()
        left = {work.task.name: work for work in works}
        for attempt in range(phase.resources.tries):
            for outcome in self._pass(phase, list(left.values()), again=attempt > 0):
                if outcome.bug:
                    raise BugError(f"{left[outcome.name].path}:\n{outcome.bug}")
                if outcome.died:  # of a lack of memory, and lived to say so
                    continue
                del left[outcome.name]
                if self._metrics and outcome.file:
                    self._metrics.count(outcome.file, outcome.seconds)
                yield outcome
            if not left:
                return
        yield from [Outcome(name, 0.0, died=True) for name in left]

    def _pass(self, phase: Phase, works: Sequence[Work], again: bool) -> Iterator[Outcome]:
        """Every task once. What is lost with its worker does not come."""
        import ray.data
        from ray import exceptions

        claimed: dict[str, Any] = {
            "batch_size": 1,
            "num_cpus": phase.resources.cpus,
            "num_gpus": phase.resources.gpus or None,
            "memory": phase.resources.memory,
        }
        rows = ray.data.from_items(
            [{"work": pickle.dumps(work)} for work in works], override_num_blocks=len(works)
        )
        with warnings.catch_warnings():
            # Ray Data names no other way yet to say how often a task is tried.
            warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
            if phase.resources.pool:
                done = rows.map_batches(
                    _Worker,
                    fn_constructor_args=(phase.function, self._root, phase.resources.ahead),
                    compute=ray.data.ActorPoolStrategy(
                        **self._pool(phase.resources, len(works)),
                        max_tasks_in_flight_per_actor=1 if again else None,
                    ),
                    # A restarted worker may wait for a node that never comes: its task must not wait with it.
                    max_task_retries=0,
                    **claimed,
                )
            else:
                if claims.more_than_usual(phase.resources):
                    self._fitting(phase.resources)
                # The bound method of an object: Ray Data would take the object itself for an actor class.
                worker = _Worker(phase.function, self._root, phase.resources.ahead)
                done = rows.map_batches(cast(Any, worker.__call__), max_retries=0, **claimed)
        try:
            for row in done.iter_rows():
                yield pickle.loads(row["outcome"])  # noqa: S301 - from our own workers
        except (
            exceptions.ObjectLostError,
            exceptions.OutOfMemoryError,
            exceptions.RayActorError,
            exceptions.WorkerCrashedError,
        ):
            return  # outcomes went down with their node: those tasks are found missing

    def _pool(self, resources: Resources, works: int) -> dict[str, Any]:
        """How many workers: what fits now; on a cluster it may grow to what fits later."""
        if resources.workers:
            return {"size": min(works, resources.workers)}
        fitting = min(works, self._fitting(resources))
        if not self._address:
            return {"size": fitting}
        return {"min_size": 1, "initial_size": max(1, fitting), "max_size": works}

    def _fitting(self, resources: Resources) -> int:
        """How many workers the nodes carry at once; 0 only where the cluster grows, and there is to be waited.

        Raises:
            ClusterError: no node can carry one, so that it would be waited for without end.
        """
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        grows = bool(self._address) and self._machine.grows
        return claims.fitting(resources, nodes, grows)

    def _start(self) -> None:
        if self._started:
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # On a busy machine a node takes its time.
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
        # Its notices are for Ray's developers.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        import ray
        import ray.data

        for name in ("ray", "ray.data"):  # observers show what happens; Ray's own notices are noise
            logging.getLogger(name).setLevel(logging.CRITICAL)
        shared: dict[str, Any] = {
            "log_to_driver": False,
            "logging_level": logging.ERROR,
            "runtime_env": {"env_vars": SINGLE_THREADED},
        }
        stopped = signal.getsignal(signal.SIGTERM)
        if self._address:
            _connect(self._address, shared)
            from ray.util.metrics import Counter

            self._metrics = Metrics(self._root, cast(Any, Counter))
        elif not ray.is_initialized():
            _begin(self._machine, shared)
        if threading.current_thread() is threading.main_thread():
            signal.signal(
                signal.SIGTERM, stopped
            )  # Ray's own handler would pass the command line by
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a block is a task, and a task that is missing is noticed
        context.execution_options.preserve_order = False
        self._started = True

    def stop(self) -> None:
        """Leave Ray, if it was started."""
        if self._started:
            import ray

            ray.shutdown()
            self._started = False


def check_address(address: str | None) -> None:
    """A run joins the cluster that it is in; to one that is elsewhere it is sent.

    Raises:
        ClusterError: it is the address of a job server, or of Ray's client.
    """
    if address and "://" in address:
        raise ClusterError(
            f"--address {address}: inside a cluster it is `auto` or HEAD:6379; from outside: "
            "tamis submit JOB --address http://HEAD:8265"
        )


def _connect(address: str, options: dict[str, Any]) -> None:
    import ray
    from ray.exceptions import AuthenticationError, RayError

    try:
        with _hushed():  # it says each second that it waits
            ray.init(address=address, **options)
    except AuthenticationError:
        raise ClusterError(
            f"--address {address}: the cluster wants a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        ) from None
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise ClusterError(
            f"--address {address}: no Ray cluster there: {why}: is it up, and RAY_AUTH_TOKEN the one that it wants?"
        ) from None


def _begin(machine: Machine, options: dict[str, Any]) -> None:
    """Start Ray on this machine.

    Raises:
        StateError: it does not start.
    """
    import ray

    try:
        with _hushed():
            ray.init(
                address="local",  # without it, a cluster that happens to run here would be joined
                num_cpus=machine.cpus,
                object_store_memory=machine.object_store,
                include_dashboard=False,
                _system_config=SYSTEM,
                **options,
            )
    except Exception as error:  # of no narrower class, where the node does not come up in time
        why = " ".join(str(error).split())[:200]
        raise StateError(
            f"Ray does not start on this machine ({why}): is it very busy, or out of memory or of /dev/shm? try again"
        ) from error


@contextmanager
def _hushed() -> Iterator[None]:
    """Standard error closed to native code: Ray says there that it has been told to say nothing."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class Here:
    """The same in this process, one after another, without Ray: for tests, and for finding a bug."""

    def __init__(self, root: str) -> None:
        self._root = root

    def run(self, phase: Phase, works: Sequence[Work]) -> Iterator[Outcome]:
        """Outcomes in the order of the tasks."""
        for work in works:
            yield perform(phase.function, self._root, work)

    def stop(self) -> None:
        """Nothing was started."""
