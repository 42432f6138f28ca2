"""A process without threads, from which others are forked: each begins in milliseconds, with its modules imported.

A fork of a process that has threads may stand still for ever, since a lock that another thread held stays closed in
the copy. So this process is a new one, and imports only what makes no threads: neither BLAS nor Arrow may, by
``ALONE``, and torch makes its own when it first computes.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from tamis.pipeline.host import crash_log
from tamis.pipeline.host.environment import SINGLE_THREADED
from tamis.schemas.errors import BugError, StateError

ALONE = {**SINGLE_THREADED, "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Variables by which libraries make no threads as they are imported, nor later in the processes that are forked."""

CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from tamis.pipeline.host import forkserver; forkserver.serve(int(sys.argv[2]), sys.argv[3])"
)

READY = b"ready"

MESSAGE = 1 << 16
"""Bytes of a message to the process or from it, at most."""

FIRST_TO_KILL = "900"
"""Where memory runs out, the kernel ends a worker before the process that can begin another; up to 1,000."""

ENDING_SECONDS = 5.0
"""Seconds in which a process that was killed is gone; one that waits for a disk takes its time."""


class ForkServer:
    """The process. What it forks calls ``entry`` (``package.module:function``) with its end of a connection."""

    def __init__(self, entry: str) -> None:
        """Start it; it imports the module of ``entry`` while this process goes on."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = [json.dumps(sys.path), str(theirs.fileno()), entry]
        with theirs:
            self._process = subprocess.Popen(
                # -P: a json.py in the folder where the command was given is not the one that is meant.
                [sys.executable, "-P", "-c", CODE, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # as under Ray, what a crash or a library prints is not for a person
                stderr=subprocess.DEVNULL,
                env={**os.environ, **ALONE},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a keystroke is for the driver alone, and all can be ended together
            )
        self._ready = False

    @property
    def pid(self) -> int:
        """The process's id, and that of the group of all that it forks."""
        return self._process.pid

    def preload(self, modules: Sequence[str]) -> None:
        """Have it import more, as soon as it has nothing else to do; what is not installed is left out."""
        self._send(json.dumps(list(modules)).encode())

    def fork(self) -> Connection:
        """This end of a connection with a new process, which ends with the connection.

        Raises:
            BugError: the module of the entry cannot be imported there.
            StateError: the process has been ended from outside.
        """
        self.wait()
        ours, theirs = socket.socketpair()
        with theirs:
            self._send(b"", theirs.fileno())
        return Connection(ours.detach())

    def wait(self) -> None:
        """Wait until it can fork.

        Raises:
            BugError, StateError: as ``fork``.
        """
        if self._ready:
            return
        try:
            told = self._control.recv(MESSAGE)
        except ConnectionError:  # it ended before it had read what was sent
            told = b""
        if not told:
            raise StateError(_gone(self._process.wait()))
        if told != READY:
            raise BugError(told.decode())
        self._ready = True

    def _send(self, message: bytes, *descriptors: int) -> None:
        try:
            # The message of a fork is empty, and an empty one could not be told from the end.
            socket.send_fds(self._control, [message or b" "], descriptors)
        except ConnectionError:
            raise StateError(_gone(self._process.wait())) from None

    def stop(self) -> None:
        """End it and all that it has forked, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._control.close()


NO_PROCESS = os.EX_OSERR
"""Exit code of a process that could not fork."""


def _gone(code: int) -> str:
    if code == NO_PROCESS:
        return crash_log.NO_PROCESS
    return (
        f"the process that begins workers has ended (exit code {code}): was it ended from outside, or is memory "
        "short? the same command resumes"
    )


def drain(connection: Connection) -> None:
    """Wait until a process that was killed is gone, so that it can write no more."""
    with connection, suppress(EOFError, OSError):
        while connection.poll(ENDING_SECONDS):
            connection.recv_bytes()


def serve(descriptor: int, entry: str) -> None:
    """The life of the process: import, then fork and import as it is told, until nobody is there to tell."""
    control = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so none that has ended stays as a zombie
    try:
        module, _, name = entry.partition(":")
        main = getattr(importlib.import_module(module), name)
    except Exception:  # noqa: BLE001 - the driver raises it
        control.send(traceback.format_exc().encode()[-MESSAGE:])
        return
    control.send(READY)
    gc.freeze()  # else each collection of a fork would copy the pages that they share
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE, 1)
        if not message:  # the driver is gone, however it ended
            os.killpg(0, signal.SIGKILL)
        for theirs in descriptors:
            if _forked() == 0:
                control.close()
                _become(theirs, main)
            os.close(theirs)
        if not descriptors:
            _import(json.loads(message))


def _forked() -> int:
    try:
        return os.fork()
    except OSError:  # the driver says so
        os._exit(NO_PROCESS)


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        with suppress(
            Exception
        ):  # whoever needs it meets the error itself, and says so in its own words
            importlib.import_module(module)
    gc.freeze()


def _become(descriptor: int, main: Callable[[Connection], None]) -> None:
    """Be a new process, to its end; nothing gets back into the loop of the one that it was forked from."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.set_inheritable(descriptor, False)
        with suppress(OSError):  # systems other than Linux lack the file
            Path("/proc/self/oom_score_adj").write_text(FIRST_TO_KILL, encoding="ascii")
        main(Connection(descriptor))
    finally:
        os._exit(0)
