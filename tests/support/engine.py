"""Run as a program: phases small and large, each way, on a Ray of their own; prints what became of them as JSON."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.host import at_work
from tamis.pipeline.runs.ray_engine import CALLS, ROW, ROWS, SMALL, RayEngine
from tamis.pipeline.runs.window import CALL
from tamis.pipeline.tasks.claims import Claim
from tamis.pipeline.tasks.perform import Work
from tamis.pipeline.tasks.phase import Listed, Phase
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import ClusterError
from tamis.schemas.resources import Claimed
from tamis.schemas.resources import Resources as Machine
from tamis.schemas.scope import Scope

CPUS = 2
MANY = 2 * SMALL
"""Tasks of which not all are handed out at once, either way."""

HELD = {
    "calls": (CALLS * CPUS * CALL, CALL),
    "rows": (ROWS * CPUS * ROW, ROW),
    "pool": (ROWS * CPUS * ROW, ROW),
}
"""Tasks that are out at once, at most: those of the window, and of the one chunk that is lost with its process."""

DEADLY = MANY // 2
WAYS: dict[str, dict[str, Any]] = {
    "calls": {},
    "rows": {"carries_bytes": True},
    "pool": {"resources": Claimed(pool=True)},
}


def process(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """Who does it, and with how many threads a product."""
    with Path(io.root, "begun").open("a") as out:
        out.write(f"{io.path}\n")
    yield pa.table({"process": [os.getpid()], "threads": [os.environ["OMP_NUM_THREADS"]]})


def beside_another(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """The first task goes on once another process has begun one: a single one might do them all meanwhile."""
    Path(io.root, f"here-{os.getpid()}").touch()
    while io.task.number == 0 and len(list(Path(io.root).glob("here-*"))) < CPUS:
        time.sleep(0.05)
    yield from process(io)


def deadly(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """One task ends its process each time."""
    if io.task.number == DEADLY:
        os.abort()
    yield from process(io)


def fatal(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """No process survives it."""
    os.abort()


def deadly_once(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """The second task ends its process the first time."""
    mark = Path(io.root, "died")
    if io.task.number == 1 and not mark.exists():
        mark.touch()
        os.abort()
    yield from process(io)


def telling(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """Tells of more and more rows, and ends once the driver is known to have seen some."""
    while not Path(io.root, "seen").exists():
        at_work.advance(1)
        time.sleep(0.05)
    yield from process(io)


class Lazy(Sequence[Work]):
    """Tasks that are made when they are looked at; counts how often each is."""

    def __init__(self, phase: str, count: int) -> None:
        self._phase, self._count = phase, count
        self.looked: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Work: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Work]: ...
    def __getitem__(self, index: int | slice) -> Work | Sequence[Work]:
        assert isinstance(index, int)
        if index >= self._count:
            raise IndexError(index)
        self.looked[index] += 1
        return Work(Task(Scope.PART, index, {}), f"tables/{self._phase}/t{index}.parquet", "f")


def done(root: str, phase: str) -> list[dict[str, object]]:
    """What each task of a phase has found."""
    files = sorted(Path(root, "tables", phase).glob("*.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def many(engine: RayEngine, way: str) -> dict[str, object]:
    """A phase of many tasks, of which one cannot be done."""
    works = Lazy(way, MANY)
    ahead = 0
    died: list[str] = []
    outcomes = engine.run(Phase(way, deadly, Listed([]), **WAYS[way]), works)
    for finished, outcome in enumerate(outcomes):
        ahead = max(ahead, works.looked.total() - finished)
        if outcome.died:
            died.append(outcome.name)
    return {"ahead": ahead, "died": died, "looked": sorted(set(works.looked.values()))}


def refused(root: str) -> str:
    """What is said of a task that could be done, before another that no machine could; leaves Ray, which is there."""
    engine = RayEngine(root, Machine(cpus=CPUS), pending=[Claim("later", 1, 1000, 0)])
    try:
        list(engine.run(Phase("no", process, Listed([])), Lazy("no", 1)))
    except ClusterError as error:
        return str(error)
    finally:
        engine.stop()
    return ""


def at_work_rows(engine: RayEngine, root: str, way: str) -> list[bool]:
    """Whether rows of tasks at work are known before a task has ended, and none after all have."""
    seen = Path(root, "seen")
    seen.unlink(missing_ok=True)
    known: list[bool] = []

    def look() -> None:
        while at_work.rows() == 0:
            time.sleep(0.05)
        known.append(not done(root, f"telling-{way}"))
        seen.touch()

    looking = threading.Thread(target=look)
    looking.start()
    list(engine.run(Phase("telling", telling, Listed([]), **WAYS[way]), Lazy(f"telling-{way}", 2)))
    looking.join()
    while at_work.rows():
        time.sleep(0.05)
    return [*known, at_work.rows() == 0]


def main(root: str) -> None:
    engine = RayEngine(root, Machine(cpus=CPUS))
    counts = {"one": 1, "several": 48, "dies": 3, "after": 3, "alone": 1, "much": 3}
    for phase, count in counts.items():
        function = {"several": beside_another, "dies": deadly_once}.get(phase, process)
        way = WAYS["rows" if phase in ("alone", "much") else "calls"]
        outcomes = list(engine.run(Phase(phase, function, Listed([]), **way), Lazy(phase, count)))
        names = sorted(work.name for work in Lazy(phase, count))
        assert sorted(outcome.name for outcome in outcomes) == names
        assert not any(outcome.died or outcome.bug for outcome in outcomes), outcomes
    found: dict[str, object] = {phase: done(root, phase) for phase in counts}
    for settings in WAYS.values():
        outcomes = list(engine.run(Phase("no", fatal, Listed([]), **settings), Lazy("no", 2)))
        assert [outcome.died for outcome in outcomes] == [True, True]
    told = {way: many(engine, way) for way in WAYS}
    begun = Counter(Path(root, "begun").read_text().splitlines())
    said = {
        "did": found,
        "at_work": {way: at_work_rows(engine, root, way) for way in ("calls", "pool")},
        "many": told,
        "files": {way: len(done(root, way)) for way in WAYS},
        "begun": {way: [begun[work.path] for work in Lazy(way, MANY)] for way in WAYS},
        "window": {way: window + lost for way, (window, lost) in HELD.items()},
        "refused": refused(root),
        "threads": os.environ["OMP_NUM_THREADS"],
    }
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
