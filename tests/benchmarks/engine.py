"""What the engine costs beside the tasks themselves, on Ray of this machine: many tasks that each write one row.

For each way that a phase can go, and a task: processor time of the driver and of all processes, beside what the same
task costs in one process without Ray; the growth of the driver's memory; and the most tasks that were out at once.
Files go to memory where there is /dev/shm: it is not the disk that is measured.

    python -m tests.benchmarks.engine --tasks 100000
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import psutil
import pyarrow as pa

from tamis.pipeline.runs.ray_engine import RayEngine
from tamis.pipeline.tasks.perform import Here, Work
from tamis.pipeline.tasks.phase import Listed, Phase
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.resources import Claimed, Resources
from tamis.schemas.scope import Scope

WAYS: dict[str, dict[str, Any]] = {
    "calls": {},
    "pipeline": {"carries_bytes": True},
    "pipeline, pool": {"resources": Claimed(pool=True)},
}
BARE = 1000
"""Tasks that are done without Ray."""


@dataclass(frozen=True)
class Cost:
    """What a task of one way costs."""

    way: str
    tasks: int
    driver_ms: float  # of processor time
    all_ms: float  # of processor time, of every process, with that of the task
    task_ms: float  # of processor time, in one process without Ray
    driver_bytes: float  # of memory, kept
    ahead: int  # tasks that were out at once, at most
    wall_seconds: float


class Works(Sequence[Work]):
    """Tasks that are made when they are looked at."""

    def __init__(self, folder: str, count: int) -> None:
        self._folder, self._count, self.looked = folder, count, 0

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Work: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Work]: ...
    def __getitem__(self, index: int | slice) -> Work | Sequence[Work]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if index >= self._count:
            raise IndexError(index)
        self.looked += 1
        args = {"source": f"input/{index:05d}.tar", "digest": "0" * 32}
        path = f"tables/{self._folder}/part-{index:05d}.parquet"
        return Work(Task(Scope.PART, index, {}, args), path, "0" * 32)


def one_row(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """The least that a task can do."""
    yield pa.table({"row": [io.task.number]})


def used() -> tuple[float, float]:
    """Processor seconds of this process, and of it and all that came of it."""
    me = psutil.Process()
    seconds = []
    for process in [me, *me.children(recursive=True)]:
        with suppress(psutil.Error):
            times = process.cpu_times()
            seconds.append(times.user + times.system)
    return seconds[0], sum(seconds)


def bare(root: str) -> float:
    """Processor seconds of a task without Ray."""
    began = time.process_time()
    for _ in Here(root).run(Phase("bare", one_row, Listed([])), Works("bare", BARE)):
        pass
    return (time.process_time() - began) / BARE


def measured(engine: RayEngine, way: str, count: int, task: float) -> Cost:
    """A phase of ``count`` tasks, behind a small one that starts what is started once."""
    for _ in engine.run(Phase("warm", one_row, Listed([]), **WAYS[way]), Works("warm", 100)):
        pass
    works = Works(way.replace(", ", "_"), count)
    memory, (driver, every) = psutil.Process().memory_info().rss, used()
    began, ahead = time.perf_counter(), 0
    for back, _ in enumerate(
        engine.run(Phase("many", one_row, Listed([]), **WAYS[way]), works), start=1
    ):
        ahead = max(ahead, works.looked - back)
        if back == count:  # afterwards a pool's processes are gone, and their times with them
            driver, every = (
                after - before for after, before in zip(used(), (driver, every), strict=True)
            )
            memory = psutil.Process().memory_info().rss - memory
    return Cost(
        way,
        count,
        driver / count * 1e3,
        every / count * 1e3,
        task * 1e3,
        memory / count,
        ahead,
        time.perf_counter() - began,
    )


def costs(ways: Sequence[str], count: int) -> Iterator[Cost]:
    """The cost of each way, over ``count`` tasks on an engine of its own."""
    memory = Path("/dev/shm")
    for way in ways:
        root = tempfile.mkdtemp(prefix="tamis-engine-", dir=memory if memory.exists() else None)
        engine = RayEngine(root, Resources(cpus=len(os.sched_getaffinity(0))))
        try:
            yield measured(engine, way, count, bare(root))
        finally:
            engine.stop()
            shutil.rmtree(root)


def way_of(phase: Phase[Any]) -> str:
    """The way that a phase goes."""
    if not phase.carries_bytes:
        return "calls"
    return "pipeline, pool" if phase.resources.pool else "pipeline"


def main() -> None:
    """A line of JSON for each way."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--tasks", type=int, default=10_000)
    options.add_argument("--ways", choices=WAYS, nargs="+", default=list(WAYS))
    given = options.parse_args()
    for cost in costs(given.ways, given.tasks):
        print(json.dumps({name: _short(value) for name, value in asdict(cost).items()}))
        sys.stdout.flush()


def _short(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
