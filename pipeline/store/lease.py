"""The lease of a run directory, for one run at a time: its holder renews it, and others see it expire.

A process that held it is known to have ended only where its process ids are ours too: on this boot of this machine, in
this namespace. Containers have names of hosts in common, and ids of their own.
"""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from typing import Any

from tamis.pipeline.host import processes
from tamis.pipeline.store import storage
from tamis.schemas.errors import StateError, StorageError

FILE = "run.lock"
TAKEOVER = "run.lock.takeover"
"""Made by who takes a dead lock over: of two at once one succeeds."""

RENEW_SECONDS = 15.0
EXPIRE_SECONDS = 90.0
"""Seconds without a renewal after which a holder on another machine counts as gone."""

WATCH_SECONDS = 2 * RENEW_SECONDS + 1
"""Seconds for which a lock is watched that says to be of the future: the clocks differ, or it is damaged."""

SETTLE_SECONDS = 2.0
"""Seconds in which a lock that cannot be read is whole, if somebody is just writing it: see ``local.create``."""

_held: set[str] = set()
"""The locks that this process holds: one that it lost hold of, because the disk failed, is a dead one."""


class Lease:
    """The lease of the directory ``root`` for the length of the ``with`` block.

    The lock is written conditionally: of two runs that try at once one fails. The lease of a process of this machine
    that has ended, or of another machine after EXPIRE_SECONDS without a renewal, is taken over.

    Raises:
        StateError: another run holds the lease; the message has its host and process id.
    """

    def __init__(self, root: str) -> None:
        self._root, self._path = root, storage.join(root, FILE)
        self._stop = threading.Event()
        self._successor = ""
        self._identity: dict[str, Any] = {
            "host": socket.gethostname(),
            "boot": processes.boot(),
            "space": processes.namespace(),
            "process": os.getpid(),
            "process_started": processes.start_time(os.getpid()),
        }
        self._thread = threading.Thread(target=self._renew, daemon=True, name="tamis-lease")

    def __enter__(self) -> Lease:
        if not storage.create(self._path, self._text()):
            self._take_over()
        _held.add(self._path)
        try:
            storage.clear_partial(self._root)
        except BaseException:
            self._release()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._release()

    def _release(self) -> None:
        _held.discard(self._path)
        if self._holder() in (None, self._identity):
            storage.delete(self._path)

    def check(self) -> None:
        """Check before a commit that no other run is known to have taken over.

        Raises:
            StateError: another run has taken the directory over.
        """
        if self._successor:
            raise StateError(
                f"{self._root}: {self._successor} has taken this run over: it goes on there"
            )

    def check_now(self) -> None:
        """Read the lock again and check, before the last commit: the last reading may be old.

        Raises:
            StateError: as ``check``.
        """
        holder = self._holder()
        if holder not in (None, self._identity):
            self._lose(holder)
        self.check()

    def _lose(self, holder: dict[str, Any] | None) -> None:
        self._successor = f"process {holder['process']} on {holder['host']}" if holder else ""

    def _take_over(self) -> None:
        holder = self._settled(self._path)
        if holder is not None and not self._is_gone(holder):
            raise StateError(self._taken(holder))
        guard = storage.join(self._root, TAKEOVER)
        if not storage.create(guard, self._text()) and not self._is_left(guard):
            raise StateError(f"{self._root}: another run has just begun in it: wait for it")
        try:
            if self._read() != holder:  # another was faster, and has it now
                raise StateError(f"{self._root}: another run has just begun in it: wait for it")
            storage.write_bytes(self._path, self._text())
        finally:
            storage.delete(guard)

    def _is_left(self, guard: str) -> bool:
        """Whether a guard was left by a process that ended while it took a lock over."""
        other = self._settled(guard)
        return storage.exists(guard) if other is None else self._is_gone(other)

    def _settled(self, path: str) -> dict[str, Any] | None:
        """What a lock says. Where a file has one name alone, it is there before its content is."""
        holder = _parsed(path)
        if holder is None and storage.exists(path):
            self._stop.wait(SETTLE_SECONDS)
            holder = _parsed(path)
        return holder

    def _is_gone(self, holder: dict[str, Any]) -> bool:
        """Whether the process that holds a lock has ended, or has lost its right to it."""
        mine = self._identity
        if all(holder.get(name, mine[name]) == mine[name] for name in ("host", "boot", "space")):
            if holder["process"] == mine["process"]:
                return self._path not in _held
            return not processes.is_running(holder["process"], holder.get("process_started"))
        age = time.time() - float(holder["renewed"])
        if age > EXPIRE_SECONDS:
            return True
        if age >= -RENEW_SECONDS:
            return False
        self._stop.wait(WATCH_SECONDS)  # NaN, or ahead
        return self._read() == holder

    def _taken(self, holder: dict[str, Any]) -> str:
        return (
            f"{storage.redact(self._root)}: another run is at work in it ({described(holder)}): wait for it or end it; "
            f"where `ps -p {holder['process']}` there shows no tamis, remove {FILE}"
        )

    def _text(self) -> bytes:
        return json.dumps({**self._identity, "renewed": time.time()}).encode()

    def _read(self) -> dict[str, Any] | None:
        return _parsed(self._path)

    def _holder(self) -> dict[str, Any] | None:
        holder = self._read()
        return None if holder is None else {key: holder.get(key) for key in self._identity}

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            try:
                holder = self._holder()
                if holder not in (None, self._identity):
                    self._lose(holder)
                    return
                storage.write_bytes(self._path, self._text())
            except StorageError:  # the next renewal may succeed; else the lease expires
                continue


def _parsed(path: str) -> dict[str, Any] | None:
    """A lock's content; None if it is not there, was cut short by a full disk, or is not a lock of ours."""
    try:
        holder = json.loads(storage.read_bytes(path))
        sound = isinstance(holder["host"], str) and isinstance(holder["process"], int)
        holder["renewed"] = repr(float(holder["renewed"]))  # of two NaN none is the other
    except (FileNotFoundError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None
    return dict(holder) if sound else None


def holder_of(root: str) -> str | None:
    """Words for the run that is, or was, at work in a directory, by its lock; None without one."""
    holder = _parsed(storage.join(root, FILE))
    return None if holder is None else described(holder)


def described(holder: dict[str, Any]) -> str:
    """A lock's holder and age: "process 7 on host, which renewed run.lock 12 s ago"."""
    age = time.time() - float(holder["renewed"])
    known = math.isfinite(age) and age >= 0
    renewed = f"{age:,.0f} s ago" if known else "at a time that is not of this machine's clock"
    who = f"process {holder['process']} on {holder['host'][:80]}"
    return f"{who}, which renewed {FILE} {renewed}"
