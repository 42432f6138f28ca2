"""Runs on a Ray head, watched through their JSON events, so that processes can be killed at seeded random moments."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from bisect import bisect
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from tests.support.ray_cluster import RayHead
from tests.support.running import contents

ROOT = Path(__file__).resolve().parents[2]
RESULT = ("shards", "ledger", "subset.npy", "manifest.json")

Event = dict[str, Any]
Watch = Callable[[int, Event], None]
"""Called with the driver's process id and each event."""


def result(run: Path) -> dict[str, bytes]:
    """The bytes of everything that a run promises to make the same each time."""
    found = contents(run)
    chosen = {name: data for name, data in found.items() if name.partition("/")[0] in RESULT}
    assert {name.partition("/")[0] for name in chosen} == set(RESULT)
    return chosen


@dataclass
class Told:
    """What a run said until it ended, and how it ended."""

    events: list[Event] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    code: int = 0

    @property
    def done(self) -> list[Event]:
        """The tasks that were finished, in order."""
        return [event for event in self.events if event["event"] == "TaskDone"]

    @property
    def embedded(self) -> int:
        """Samples whose embeddings were written."""
        return sum(event["written"] for event in self.done if event["phase"] == "vectors")

    @property
    def fullest(self) -> int:
        """The most samples of one part whose embeddings were written."""
        return max(int(event["written"]) for event in self.done if event["phase"] == "vectors")

    @property
    def is_embedding(self) -> bool:
        """Whether the last that it said is that it embeds."""
        last = [event for event in self.events if event["event"] in ("PhaseStarted", "PhaseEnded")]
        return bool(last) and (last[-1]["event"], last[-1]["phase"]) == ("PhaseStarted", "vectors")


def run(head: RayHead, *arguments: str, watch: Watch | None = None) -> Told:
    """``tamis run``, to its end or until it is killed."""
    told = Told()
    command = [sys.executable, "-m", "tamis.jobs", "run", *arguments, "--progress", "json"]
    with subprocess.Popen(
        [*command, "--address", head.cluster],
        cwd=ROOT,
        env=head.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as driver:
        try:
            assert driver.stderr is not None
            for line in driver.stderr:
                if not line.startswith("{"):
                    told.words.append(line)
                    continue
                told.events.append(json.loads(line))
                if watch:
                    watch(driver.pid, told.events[-1])
            told.code = driver.wait()
        finally:
            driver.kill()
    return told


def moments(undisturbed: Told, kills: int, seed: int) -> list[tuple[int, float]]:
    """Seeded random moments, uniform over the time that an undisturbed run took.

    Returns:
        For each kill how many tasks are to end after the kill before it, and how many seconds it then waits.
    """
    chance = random.Random(seed)
    times = [datetime.fromisoformat(event["time"]).timestamp() for event in undisturbed.done]
    start = datetime.fromisoformat(undisturbed.events[0]["time"]).timestamp()
    # Tasks that end while a driver dies are found done and never told: the last moments would not be reached.
    end = start + 0.9 * (times[-1] - start)
    passed = [
        bisect(times, moment) for moment in sorted(chance.uniform(start, end) for _ in range(kills))
    ]
    return [(after - before, chance.uniform(0, 0.3)) for before, after in pairwise([0, *passed])]


def kill_driver(tasks: int, delay: float) -> Watch:
    """Once so many tasks are done, and some seconds later: SIGKILL, at which nothing can be tidied up."""
    left = tasks

    def watch(driver: int, event: Event) -> None:
        nonlocal left
        left -= event["event"] == "TaskDone"
        if left <= 0:
            left = sys.maxsize
            time.sleep(delay)
            with suppress(ProcessLookupError):
                os.kill(driver, signal.SIGKILL)

    return watch


@dataclass
class WorkerKiller:
    """A watch that kills one of Ray's processes that are at work, chosen at random, at each of some moments."""

    head: RayHead
    moments: Sequence[tuple[int, float]]
    seed: int
    killed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._waits = [tasks for tasks, _ in self.moments]

    def __call__(self, driver: int, event: Event) -> None:
        """Take notice of an event."""
        if not self._waits:
            return
        self._waits[0] -= event["event"] == "TaskDone"
        if self._waits[0] > 0:
            return
        working = at_work(self.head)
        if working:  # else between two phases: the next event will do
            chosen = self._chance.choice(working)
            with suppress(psutil.Error):
                self.killed.append(chosen.cmdline()[0])
                chosen.kill()
                del self._waits[0]


def at_work(head: RayHead) -> list[psutil.Process]:
    """Ray's processes that do tasks now, oldest first."""
    found = []
    for process in psutil.Process(head.process).children(recursive=True):
        with suppress(psutil.Error, IndexError):
            if process.cmdline()[0].startswith(
                ("ray::MapWorker", "ray::MapBatches", "ray::do_tasks")
            ):
                found.append(process)
    return sorted(found, key=lambda process: process.pid)
