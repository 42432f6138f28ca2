"""Starting Ray on this machine, or joining the Ray cluster that a run is part of."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from typing import Any

from tamis.pipeline.host.environment import SINGLE_THREADED, set_variables, silence_stderr
from tamis.schemas.errors import ClusterError, StateError
from tamis.schemas.resources import Resources

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


def open_(address: str | None, resources: Resources) -> None:
    """Join the Ray cluster at ``address``, or start Ray here, unless this process has it already.

    Raises:
        ClusterError, StateError: one line.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # On a busy machine a node starts slowly.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
    # Its notices are for Ray's developers.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)  # observers show events
    shared: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        _connect(address, shared)
    elif not ray.is_initialized():
        _begin(resources, shared)


def ray_data() -> Any:
    """Ray Data, configured; imported for passes alone, as the import takes a second in every process."""
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # a list of outcomes is a block: it comes when it is there
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
    """The obstacle that keeps Ray from starting here, as far as it can be seen."""
    why = " ".join(str(error).split())[:200]
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if "AF_UNIX" in why:
        mend = f"{folder} is too long a path for its sockets: set a shorter TMPDIR or RAY_TMPDIR"
    elif (room := os.statvfs(folder)).f_bavail * room.f_frsize < LEAST_ROOM or not room.f_favail:
        mend = f"{folder}, where it keeps its session, is full: make room, or set another TMPDIR"
    else:
        mend = "is it very busy, or out of memory or of /dev/shm? try again"
    return f"Ray does not start on this machine, {STARTS} times over ({why}): {mend}"
