"""The steps' counters, as the Ray cluster's Prometheus endpoint shows them: ``ray_tamis_...`` (deploy/grafana.json).

``pipeline.runs.ray_engine`` alone makes one, with Ray's own counters; nothing here imports Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from tamis.pipeline.tables import paths
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks.phase import VERDICT

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tamis_tasks": ("tasks finished", ("run", "step", "phase")),
    "tamis_rows": ("rows written to tables", ("run", "step", "phase")),
    "tamis_bytes": ("bytes written to tables", ("run", "step", "phase")),
    "tamis_worker_seconds": ("seconds that workers spent", ("run", "step", "phase")),
    "tamis_dropped": ("samples dropped", ("run", "step", "reason")),
}
"""Name -> description and labels. ``run`` is the name of the run directory, and not called ``job``: Prometheus has a
label of that name for its targets, and would rename ours to ``exported_job``."""


class Counter(Protocol):
    """The used part of Ray's counter."""

    def inc(self, value: float, tags: dict[str, str]) -> None:
        """Add."""


class Metrics:
    """Counters of finished tasks. ``make(name, description, labels)`` makes one counter."""

    def __init__(self, root: str, make: Callable[[str, str, tuple[str, ...]], Counter]) -> None:
        self._run = root.rstrip("/").rpartition("/")[2]
        self._counters = {name: make(name, *about) for name, about in COUNTERS.items()}

    def count(self, file: TableFile, seconds: float) -> None:
        """Count one finished task: its file lies at ``tables/<step>/<phase>/<task>.parquet``."""
        step, phase, _ = paths.address(file.path)
        tags = {"run": self._run, "step": step, "phase": phase}
        amounts = {
            "tamis_tasks": 1.0,
            "tamis_rows": float(sum(file.rows)),
            "tamis_bytes": float(file.bytes),
            "tamis_worker_seconds": seconds,
        }
        for name, amount in amounts.items():
            self._add(name, amount, tags)
        if phase == VERDICT:
            for reason, dropped in file.notes.get("counts", {}).items():
                tags = {"run": self._run, "step": step, "reason": reason}
                self._add("tamis_dropped", float(dropped), tags)

    def _add(self, name: str, amount: float, tags: dict[str, str]) -> None:
        if amount > 0:  # Ray refuses to count nothing
            plain = {label: _ascii(value) for label, value in tags.items()}
            with suppress(Exception):  # no run ends for what only watches it
                self._counters[name].inc(amount, plain)


def _ascii(value: str) -> str:
    """A label as Ray takes it."""
    return value.encode("ascii", "backslashreplace").decode()
