"""One run in a directory at a time: a lease that its holder keeps renewing, and that others can see expire."""

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
"""After so long without a renewal a holder on another machine counts as gone."""


class Lease:
    """Held for as long as the ``with`` block lasts.

    Written conditionally: of two that try at once one fails. A holder on this machine whose process is gone, and
    one elsewhere that has not renewed for EXPIRE_SECONDS, is taken over.

    Raises:
        StateError: another run holds it; with its host and process id.
    """

    def __init__(self, root: str) -> None:
        self._root, self._path = root, storage.join(root, FILE)
        self._stop = threading.Event()
        self._lost = ""
        self._mine: dict[str, Any] = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "process_started": _started(os.getpid()),
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
        if self._holder() in (None, self._mine):
            storage.delete(self._path)

    def check(self) -> None:
        """To be called before a commit: whether another has been seen to take over.

        Raises:
            StateError: another run has taken the directory over.
        """
        self._tell()

    def check_now(self) -> None:
        """To be called before the last commit: the lock is read again, for the one that was read may be old.

        Raises:
            StateError: as ``check``.
        """
        holder = self._holder()
        if holder not in (None, self._mine):
            self._lose(holder)
        self._tell()

    def _lose(self, holder: dict[str, Any] | None) -> None:
        self._lost = f"process {holder.get('process')} on {holder.get('host')}" if holder else ""

    def _tell(self) -> None:
        if self._lost:
            raise StateError(
                f"{self._root}: {self._lost} has taken this run over: it goes on there"
            )

    def _take_over(self) -> None:
        holder = self._read()
        if holder is not None and not _gone(holder):
            raise StateError(
                f"{self._root}: another run is at work in it (process {holder.get('process')} on "
                f"{holder.get('host')}): wait for it, or end it"
            )
        storage.delete(self._path)
        if not storage.create(self._path, self._text()):
            raise StateError(f"{self._root}: another run has just begun in it: wait for it")

    def _text(self) -> bytes:
        return json.dumps({**self._mine, "renewed": time.time()}).encode()

    def _read(self) -> dict[str, Any] | None:
        try:
            holder = json.loads(storage.read_bytes(self._path))
            sound = isinstance(holder["host"], str) and isinstance(holder["process"], int)
            float(holder["renewed"])
        except (OSError, ValueError, TypeError, LookupError):
            return None  # gone, cut short by a full disk, or no lock of ours: nobody's
        return dict(holder) if sound else None

    def _holder(self) -> dict[str, Any] | None:
        holder = self._read()
        return None if holder is None else {key: holder.get(key) for key in self._mine}

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            try:
                holder = self._holder()
                if holder not in (None, self._mine):
                    self._lose(holder)
                    return
                storage.write_bytes(self._path, self._text())
            except StorageError:  # renewed the next time, or taken over after EXPIRE_SECONDS
                continue


def _gone(holder: dict[str, Any]) -> bool:
    if holder.get("host") == socket.gethostname():
        return _started(holder["process"]) != holder.get("process_started")
    return time.time() - float(holder["renewed"]) > EXPIRE_SECONDS


def _started(process: int) -> str | None:
    """When a process of this machine began, in the kernel's ticks; None where there is none. Ids are used again."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return None
