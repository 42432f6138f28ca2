"""Events as JSON lines, on a stream and in the run's own ``events.jsonl``.

All that differs between equal runs stands here: times, paths, resources, versions of packages that change no byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from tamis.pipeline.store import storage
from tamis.schemas.events import Event, PhaseEnded, PhaseStarted, StepEnded, TaskDone
from tamis.schemas.layout import JOURNAL
from tamis.schemas.redaction import hide_known
from tamis.schemas.terminal_text import plain_json


def timestamp() -> str:
    """The time in UTC, to the millisecond (ISO 8601)."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def record(event: Event) -> dict[str, Any]:
    """An event's time, name and fields."""
    return {"time": timestamp(), "event": type(event).__name__, **asdict(event)}


def _line(entry: dict[str, Any]) -> str:
    return plain_json(hide_known(json.dumps(entry, ensure_ascii=False)))


def json_lines(stream: TextIO) -> Callable[[Event], None]:
    """An observer that writes each event to ``stream`` as one line."""

    def observe(event: Event) -> None:
        stream.write(_line(record(event)) + "\n")
        stream.flush()

    return observe


@dataclass
class _Tally:
    """Sums over the tasks of a phase."""

    tasks: int = 0
    rows: int = 0
    written: int = 0
    bytes: int = 0
    worker_seconds: float = 0.0
    longest_seconds: float = 0.0
    cpu_seconds: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    shuffled_bytes: int = 0
    peak_memory_bytes: int = 0

    def add(self, task: TaskDone) -> None:
        self.tasks += 1
        self.rows += task.rows
        self.written += task.written
        self.bytes += task.bytes
        self.worker_seconds += task.seconds
        self.longest_seconds = max(self.longest_seconds, task.seconds)
        self.cpu_seconds += task.spent.cpu_seconds
        self.read_bytes += task.spent.read_bytes
        self.written_bytes += task.spent.written_bytes
        self.shuffled_bytes += task.spent.read_bytes if task.gathers else 0
        self.peak_memory_bytes = max(self.peak_memory_bytes, task.spent.memory_bytes)


class Journal:
    """The observer that keeps ``events.jsonl``: a few lines a phase, whatever the number of its tasks.

    The file is small and written whole each time, since an object store cannot append. Nothing is written
    before the first event, so a run with nothing to do leaves the file unchanged.
    """

    def __init__(self, root: str, about: dict[str, Any]) -> None:
        self._path = storage.join(root, JOURNAL)
        self._begin = {"time": timestamp(), "event": "RunStarted", **about}
        self._lines: list[str] = []
        self._tally = _Tally()

    def __call__(self, event: Event) -> None:
        """Count a task; write any other event."""
        if isinstance(event, TaskDone):
            self._tally.add(event)
            return
        if isinstance(event, StepEnded) and not self._lines:
            return  # the step was complete already
        entry = record(event)
        if isinstance(event, PhaseStarted):
            self._tally = _Tally()
        elif isinstance(event, PhaseEnded):
            entry |= asdict(self._tally)
        self._write(entry)

    def close(self, **about: Any) -> None:
        """Write how the run ended, if any event was written."""
        if self._lines:
            self._write({"time": timestamp(), "event": "RunEnded", **about})

    def _write(self, entry: dict[str, Any]) -> None:
        if not self._lines:
            if storage.exists(self._path):
                self._lines = storage.read_bytes(self._path).decode().splitlines()
            self._lines.append(_line(self._begin))
        self._lines.append(_line(entry))
        storage.write_bytes(self._path, ("\n".join(self._lines) + "\n").encode())
