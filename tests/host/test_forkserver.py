"""Processes that begin by a fork of one without threads: they begin under load, and none outlives its driver."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

from tamis.pipeline.host import crash_log
from tamis.pipeline.host.forkserver import ForkServer
from tamis.pipeline.runs.executors import HEAVY
from tamis.schemas.errors import BugError, StateError

ENTRY = "tests.host.test_forkserver:answer"
LIBRARIES = [
    "numpy",
    "pyarrow.parquet",
    "pyarrow.compute",
    "faiss",
    "scipy.sparse",
    "pandas",
    "torch",
]
STARTS = 100
LIMIT = 120.0
"""Seconds: a busy machine takes its time."""


def answer(connection: Connection) -> None:
    """What a forked process does here: it says who it is and what it has, and ends when it is told to."""
    import numpy as np

    product = float((np.ones((64, 64)) @ np.ones((64, 64)))[0, 0])
    connection.send(
        (os.getpid(), psutil.Process(os.getppid()).num_threads(), "torch" in sys.modules, product)
    )
    connection.recv()


def silent(connection: Connection) -> None:
    """Stay until the end."""
    del connection
    time.sleep(LIMIT)


@contextmanager
def forking(entry: str = ENTRY) -> Iterator[ForkServer]:
    server = ForkServer(entry)
    try:
        yield server
    finally:
        server.stop()


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not there():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def busy() -> Iterator[None]:
    """Threads here that hold locks and allocate, and processes that take all processors."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            sum(bytearray(10_000))

    runners = [threading.Thread(target=churn) for _ in range(4)]
    burn = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(burn) for _ in range(os.cpu_count() or 1)]
    for runner in runners:
        runner.start()
    yield
    stop.set()
    for process in processes:
        process.kill()
        process.wait()
    for runner in runners:
        runner.join()


@pytest.mark.usefixtures("busy")
def test_a_hundred_begin_under_load_with_all_libraries_and_from_one_thread() -> None:
    with forking() as server:
        server.preload(LIBRARIES)
        connections = [server.fork() for _ in range(STARTS)]
        told = []
        for connection in connections:
            assert connection.poll(LIMIT), "a forked process stands still"
            told.append(connection.recv())
            connection.send(None)
        assert {tuple(rest) for _, *rest in told} == {(1, True, 64.0)}
        assert len({process for process, *_ in told}) == STARTS
        assert psutil.Process(server.pid).num_threads() == 1


def test_what_models_import_is_there_in_every_process_and_makes_no_thread() -> None:
    with forking("tests.host.test_forkserver:imported") as server:
        server.preload([*HEAVY.values()])
        connection = server.fork()
        assert connection.poll(LIMIT)
        assert connection.recv() == [True] * len(HEAVY)
        assert psutil.Process(server.pid).num_threads() == 1


def imported(connection: Connection) -> None:
    """Tell which of the libraries this process has."""
    connection.send([name in sys.modules for name in HEAVY])


def test_a_process_that_dies_ends_its_connection_and_no_other() -> None:
    with forking() as server:
        one, other = server.fork(), server.fork()
        os.kill(one.recv()[0], signal.SIGKILL)
        with pytest.raises(EOFError):
            one.recv()
        assert other.recv()
        other.send(None)
        with pytest.raises(EOFError):
            other.recv()


def test_none_stays_where_the_driver_is_killed() -> None:
    code = (
        "import sys, time\nfrom tamis.pipeline.host.forkserver import ForkServer\n"
        "server = ForkServer('tests.host.test_forkserver:silent')\nserver.fork()\nserver.fork()\n"
        "print(server.pid, flush=True)\ntime.sleep(1000)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        group = int(driver.stdout.readline())
        until(lambda: len(members(group)) == 3)
        driver.kill()
        until(lambda: not members(group))


def members(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter():
        try:
            ended = process.status() == psutil.STATUS_ZOMBIE
            if not ended and os.getpgid(process.pid) == group:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def test_a_stop_ends_all_at_once() -> None:
    with forking("tests.host.test_forkserver:silent") as server:
        for _ in range(3):
            server.fork()
        group = server.pid
    until(lambda: not members(group))


def test_an_entry_that_cannot_be_imported_is_a_bug_with_its_traceback() -> None:
    with (
        forking("tests.host.nowhere:answer") as server,
        pytest.raises(BugError, match=r"No module named 'tests\.host\.nowhere'"),
    ):
        server.fork()


def test_a_server_that_was_ended_from_outside_is_one_line() -> None:
    with forking() as server:
        server.fork()
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: psutil.Process(server.pid).status() == psutil.STATUS_ZOMBIE)
        with pytest.raises(StateError, match=r"has ended \(exit code -9\)"):
            server.fork()


def test_a_server_that_ends_before_it_reads_is_one_line() -> None:
    with forking() as server:
        os.kill(server.pid, signal.SIGSTOP)
        server.preload(["json"])
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(StateError, match=r"has ended \(exit code -9\)"):
            server.fork()


def test_files_in_the_folder_of_the_command_are_no_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "signal", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    with forking() as server:
        assert server.fork().recv()[1] == 1


def test_what_is_not_installed_is_left_out() -> None:
    with forking() as server:
        server.preload(["no_such_module"])
        assert server.fork().recv()[1] == 1


def test_a_system_that_lets_no_process_begin_is_told() -> None:
    with forking() as server:
        server.preload(["tests.support.no_fork"])
        with pytest.raises(StateError, match="no further process or thread"):
            until(lambda: server.fork() is None)  # the refusal is heard of at the next one


@pytest.mark.parametrize(
    ("error", "so"),
    [
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("can't start"), False),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), False),
    ],
)
def test_what_says_that_no_process_or_thread_may_begin(error: Exception, so: bool) -> None:
    assert crash_log.lacks_processes(error) == so
