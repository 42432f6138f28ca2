"""The lease of a run directory, for one run at a time: its holder renews it, and others see it expire."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from types import TracebackType
from typing import Any

from tamis.pipeline.store import storage
from tamis.schemas.errors import StateError, StorageError

FILE = "run.lock"
RENEW_SECONDS = 15.0
EXPIRE_SECONDS = 90.0
"""Seconds without a renewal after which a holder on another machine counts as gone."""


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
            "process": os.getpid(),
            "process_started": _start_time(os.getpid()),
        }
        self._thread = threading.Thread(target=self._renew, daemon=True, name="tamis-lease")

    def __enter__(self) -> Lease:
        if not storage.create(self._path, self._text()):
            self._take_over()
        storage.clear_partial(self._root)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
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
        self._successor = (
            f"process {holder.get('process')} on {holder.get('host')}" if holder else ""
        )

    def _take_over(self) -> None:
        holder = self._read()
        if holder is not None and not _is_gone(holder):
            raise StateError(
                f"{self._root}: another run is at work in it (process {holder.get('process')} on "
                f"{holder.get('host')}): wait for it, or end it"
            )
        storage.delete(self._path)
        if not storage.create(self._path, self._text()):
            raise StateError(f"{self._root}: another run has just begun in it: wait for it")

    def _text(self) -> bytes:
        return json.dumps({**self._identity, "renewed": time.time()}).encode()

    def _read(self) -> dict[str, Any] | None:
        try:
            holder = json.loads(storage.read_bytes(self._path))
            sound = isinstance(holder["host"], str) and isinstance(holder["process"], int)
            float(holder["renewed"])
        except (OSError, ValueError, TypeError, LookupError):
            return None  # deleted, cut short by a full disk, or not a lock of ours
        return dict(holder) if sound else None

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


def _is_gone(holder: dict[str, Any]) -> bool:
    if holder.get("host") == socket.gethostname():
        return _start_time(holder["process"]) != holder.get("process_started")
    return time.time() - float(holder["renewed"]) > EXPIRE_SECONDS


def _start_time(process: int) -> str | None:
    """Start of a process of this machine, in the kernel's ticks, since ids are used again; None if it has ended."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return None
