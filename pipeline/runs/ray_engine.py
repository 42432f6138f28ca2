"""Ray as the executor of tasks.

This is the only module that imports ray. Each phase is one Ray Data pass over rows that are tasks; no sample and
no picture ever travels through Ray's object store, only tasks (in) and the records of part files (out). A pass takes
a third of a second, the first of them some seconds: a phase of one task, or of few rows, is one Ray task or a few
instead, in processes that an earlier phase has left.
"""

from __future__ import annotations

import logging
import os
import pickle
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import numpy as np

from tamis.pipeline.host import interrupts
from tamis.pipeline.host.environment import set_variables, silence_stderr
from tamis.pipeline.host.lookahead import in_order
from tamis.pipeline.runs.metrics import Metrics
from tamis.pipeline.tasks import claims
from tamis.pipeline.tasks.perform import LostError, Outcome, Work, perform
from tamis.pipeline.tasks.task import Ahead, Function, Phase
from tamis.schemas.errors import BugError, ClusterError, StateError
from tamis.schemas.resources import Claimed, Resources

SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


SYSTEM = {
    # A worker that idles while a pool is at work is kept: to start another takes seconds, and it comes without caches.
    "num_workers_soft_limit": 64,
    "idle_worker_killing_time_threshold_ms": 3_600_000,
    # A task that runs out of memory counts as any other death: by default Ray would begin it again for ever.
    "task_oom_retries": 0,
}
"""Settings of a Ray started on this machine."""


OBJECT_STORE = 256 << 20
"""Bytes of Ray's object store on this machine: for tasks, records of part files, and pixels from decoding tasks."""

FEW_ROWS = 10_000
"""Rows, about those of a part, that one worker finishes before a Ray Data pass has begun."""

FEW_TASKS = 16
"""Short tasks that one process finishes before a second one would pay."""


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
    except (
        exceptions.ObjectLostError,
        exceptions.OutOfMemoryError,
        exceptions.WorkerCrashedError,
    ) as error:
        raise LostError(str(error)) from None


class _Worker:
    """One process of a pool. Its functions keep models in module-level caches."""

    def __init__(self, function: Function, root: str, decoding_tasks: int = 0) -> None:
        self._function, self._root = function, root
        self._ahead: Ahead = RayMap(decoding_tasks) if decoding_tasks else map

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Perform a batch of pickled works; gives a batch of pickled outcomes."""
        outcomes = [self.perform(pickle.loads(raw)) for raw in batch["work"]]  # noqa: S301 - from our own driver
        return {"outcome": np.array([pickle.dumps(outcome) for outcome in outcomes], dtype=object)}

    def perform(self, work: Work) -> Outcome:
        """Do one task; an unforeseen error becomes an outcome."""
        try:
            return perform(self._function, self._root, work, self._ahead)
        except Exception:  # noqa: BLE001 - Ray goes on without a block that fails: it must not be the one to see it
            return Outcome(work.name, 0.0, bug=traceback.format_exc())


def _perform_all(function: Function, root: str, works: Sequence[bytes]) -> Iterator[Outcome]:
    """Outcomes of pickled works, one after another."""
    worker = _Worker(function, root)
    for raw in works:
        yield worker.perform(pickle.loads(raw))  # noqa: S301 - from our own driver


class Engine:
    """A connection to Ray, started when the first phase has something to do."""

    def __init__(
        self,
        root: str,
        resources: Resources,
        address: str | None = None,
        pending: Sequence[claims.Claim] = (),
    ) -> None:
        """``pending``: claims of later tasks, checked against the nodes before the first task begins."""
        check_address(address)
        self._root, self._resources, self._address = root, resources, address
        self._pending = pending
        self._started = False
        self._metrics: Metrics | None = None

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """Do the tasks; outcomes come as they finish, in no order.

        Tasks whose worker dies are begun again when the others have finished, in fresh workers on the nodes of that
        time, each with a worker to itself: no task is blamed for another.

        Raises:
            BugError: a task failed in an unforeseen way.
        """
        self._start()
        left = {work.name: work for work in works}
        for attempt in range(phase.resources.tries):
            works = list(left.values())
            alone = (
                len(works) == 1 and not self._address
            )  # on a Ray cluster it would run on any node
            short = _needs_no_claim(phase) and (alone or _is_short(phase, works))
            for outcome in (
                self._in_ray_tasks(phase, works)
                if short and attempt == 0
                else self._in_ray_data(phase, works, attempt > 0)
            ):
                if outcome.bug:
                    raise BugError(f"{left[outcome.name].path}:\n{outcome.bug}")
                if outcome.died:  # memory ran out, and the worker lives
                    continue
                del left[outcome.name]
                if self._metrics and outcome.file:
                    self._metrics.count(outcome.file, outcome.seconds)
                yield outcome
            if not left:
                return
        yield from [Outcome(name, 0.0, died=True) for name in left]

    def _in_ray_tasks(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        """Do every task once, in few processes that exist already. Outcomes lost with a process do not come."""
        import ray
        from ray import exceptions

        begin = ray.remote(num_cpus=0, max_retries=0, num_returns="streaming")(_perform_all)
        pickles = [pickle.dumps(work) for work in works]
        count = max(1, min(len(pickles) // FEW_TASKS, self._fitting(phase.resources)))
        shares = [pickles[first::count] for first in range(count)]
        # They work at the same time, in whatever order they are read. Ray has no type for a stream.
        streams: list[Any] = [begin.remote(phase.function, self._root, share) for share in shares]
        for stream in streams:
            try:
                for outcome in stream:
                    yield ray.get(outcome)
            except (
                exceptions.NodeDiedError,
                exceptions.ObjectLostError,
                exceptions.OutOfMemoryError,
                exceptions.WorkerCrashedError,
            ):
                continue

    def _in_ray_data(
        self, phase: Phase[Any], works: Sequence[Work], again: bool
    ) -> Iterator[Outcome]:
        """Do every task once, in a Ray Data pass. Outcomes lost with a worker do not come."""
        from ray import exceptions

        ray_data = _ray_data()
        options: dict[str, Any] = {
            "batch_size": 1,
            "num_cpus": phase.resources.cpus,
            "num_gpus": phase.resources.gpus or None,
            "memory": phase.resources.memory,
        }
        rows = ray_data.from_items(
            [{"work": pickle.dumps(work)} for work in works], override_num_blocks=len(works)
        )
        with warnings.catch_warnings():
            # Ray Data has no other setting yet for the number of tries.
            warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
            if phase.resources.pool:
                results = rows.map_batches(
                    _Worker,
                    fn_constructor_args=(
                        phase.function,
                        self._root,
                        phase.resources.decoding_tasks,
                    ),
                    compute=ray_data.ActorPoolStrategy(
                        **self._pool(phase.resources, len(works)),
                        max_tasks_in_flight_per_actor=1 if again else None,
                    ),
                    # A restarted worker may wait for a node that never comes: its task must not wait with it.
                    max_task_retries=0,
                    **options,
                )
            else:
                if claims.exceeds_one_cpu(phase.resources):
                    self._fitting(phase.resources)
                # The bound method of an object: Ray Data would take the object itself for an actor class.
                worker = _Worker(phase.function, self._root, phase.resources.decoding_tasks)
                results = rows.map_batches(cast(Any, worker.__call__), max_retries=0, **options)
        try:
            for row in results.iter_rows():
                yield pickle.loads(row["outcome"])  # noqa: S301 - from our own workers
        except (
            exceptions.ObjectLostError,
            exceptions.OutOfMemoryError,
            exceptions.RayActorError,
            exceptions.WorkerCrashedError,
        ):
            return  # outcomes were lost with their node: `run` tries those tasks again

    def _pool(self, claim: Claimed, works: int) -> dict[str, Any]:
        """The pool's size in workers: those that fit now; on a Ray cluster it may grow."""
        if claim.workers:
            return {"size": min(works, claim.workers)}
        fitting = min(works, self._fitting(claim))
        if not self._address:
            return {"size": fitting}
        return {"min_size": 1, "initial_size": max(1, fitting), "max_size": works}

    def _fitting(self, claim: Claimed) -> int:
        """Number of workers that the nodes carry at once; 0 only where the Ray cluster grows.

        Raises:
            ClusterError: no node can carry one, so that its task would wait for ever.
        """
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        grows = bool(self._address) and self._resources.grows
        return claims.fitting(claim, nodes, grows)

    def _start(self) -> None:
        if not self._started:
            with interrupts.defer():  # half a Ray could not be stopped
                self._join_or_begin()
            for claim in self._pending:
                self._check(claim)

    def _check(self, claim: claims.Claim) -> None:
        try:
            self._fitting(Claimed(claim.cpus, claim.gpus, claim.memory or None))
        except ClusterError as error:
            raise ClusterError(f"{claim.step}: {error}") from None

    def _join_or_begin(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # On a busy machine a node starts slowly.
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
        # Its notices are for Ray's developers.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        import ray

        logging.getLogger("ray").setLevel(logging.CRITICAL)  # observers show events
        shared: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._address:
            _connect(self._address, shared)
            from ray.util.metrics import Counter

            self._metrics = Metrics(self._root, cast(Any, Counter))
        elif not ray.is_initialized():
            _begin(self._resources, shared)
        self._started = True

    def stop(self) -> None:
        """Leave Ray, if it was started."""
        if self._started:
            import ray

            ray.shutdown()
            self._started = False


def _ray_data() -> Any:
    """Ray Data, configured; imported for passes alone, as the import takes a second in every process."""
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # a block is a task, and `run` notices missing tasks
    context.execution_options.preserve_order = False
    return ray.data


def check_address(address: str | None) -> None:
    """Check that a run can join the Ray cluster at ``address``, from inside it.

    Raises:
        ClusterError: the address is that of a job server, or of Ray's client.
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
        with silence_stderr():  # Ray prints each second of waiting
            ray.init(address=address, runtime_env={"env_vars": SINGLE_THREADED}, **options)
    except AuthenticationError:
        raise ClusterError(
            f"--address {address}: the cluster wants a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        ) from None
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise ClusterError(
            f"--address {address}: no Ray cluster there: {why}: is it up, and RAY_AUTH_TOKEN the one that it wants?"
        ) from None


STARTS = 3
"""Times that Ray is started before a person is told that it does not."""

START_WAIT = 5.0
"""Seconds between two of them."""

LEAST_ROOM = 100 << 20
"""Bytes free without which Ray's session has no room."""


def _begin(resources: Resources, options: dict[str, Any]) -> None:
    """Start Ray on this machine.

    Raises:
        StateError: Ray does not start.
    """
    import ray

    for left in reversed(range(STARTS)):
        try:
            # Workers inherit the variables. With a runtime_env the workers that Ray begins at once would idle for ever,
            # beside others begun later.
            with silence_stderr(), set_variables(SINGLE_THREADED):
                ray.init(
                    address="local",  # without it, a Ray cluster on this machine would be joined
                    num_cpus=resources.cpus,
                    object_store_memory=OBJECT_STORE,
                    include_dashboard=False,
                    _system_config=SYSTEM,
                    **options,
                )
            return
        except Exception as error:  # Ray raises no narrower class where the node starts too late
            with silence_stderr():
                ray.shutdown()
            if not left or "AF_UNIX" in str(error):
                raise StateError(_why_not_started(error)) from error
            time.sleep(START_WAIT)


def _why_not_started(error: Exception) -> str:
    """What keeps Ray from starting here, as far as it can be seen."""
    why = " ".join(str(error).split())[:200]
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if "AF_UNIX" in why:
        mend = f"{folder} is too long a path for its sockets: set a shorter TMPDIR or RAY_TMPDIR"
    elif (room := os.statvfs(folder)).f_bavail * room.f_frsize < LEAST_ROOM or not room.f_favail:
        mend = f"{folder}, where it keeps its session, is full: make room, or set another TMPDIR"
    else:
        mend = "is it very busy, or out of memory or of /dev/shm? try again"
    return f"Ray does not start on this machine, {STARTS} times over ({why}): {mend}"


def _needs_no_claim(phase: Phase[Any]) -> bool:
    """Whether the phase needs no worker of its own: no pool, GPU or memory."""
    claim = phase.resources
    return not (claim.pool or claim.gpus or claim.memory)


def _is_short(phase: Phase[Any], works: Sequence[Work]) -> bool:
    """Whether a phase reads tables of few rows, and opens no picture."""
    if phase.by_sample or phase.moves_pictures:
        return False
    reading = all(work.task.inputs for work in works)
    return reading and sum(work.task.rows for work in works) <= FEW_ROWS
