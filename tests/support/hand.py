"""Run as a program: phases of little or one task, and one of much, on a Ray of their own; prints who did them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.runs.ray_engine import FEW_ROWS, FEW_TASKS, Engine
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks.claims import Claim
from tamis.pipeline.tasks.perform import Work
from tamis.pipeline.tasks.phase import listed
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import ClusterError
from tamis.schemas.resources import Resources as Machine
from tamis.schemas.scope import Scope


def process(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """Who does it, and with how many threads a product."""
    yield pa.table({"process": [os.getpid()], "threads": [os.environ["OMP_NUM_THREADS"]]})


def deadly_once(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """The second task ends its process the first time."""
    mark = Path(io.root, "died")
    if io.task.number == 1 and not mark.exists():
        mark.touch()
        os.abort()
    yield from process(io)


def table(root: str, rows: int) -> TableFile:
    """An input of so many rows."""
    made = [pa.table({"row": range(rows)})]
    return part_files.write(root, f"tables/in/{rows}.parquet", "in", made, dict)


def works(phase: str, file: TableFile, count: int) -> list[Work]:
    return [
        Work(Task(Scope.PART, i, {"in": [file.slice()]}, None), f"tables/{phase}/t{i}.parquet", "f")
        for i in range(count)
    ]


def done(root: str, phase: str) -> list[dict[str, object]]:
    """What each task of a phase has found."""
    files = sorted(Path(root, "tables", phase).glob("*.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def refused(root: str, given: list[Work]) -> str:
    """What is said of a task that could be done, before another that no machine could; leaves Ray, which is there."""
    engine = Engine(root, Machine(cpus=2), pending=[Claim("later", 1, 1000, 0)])
    try:
        list(engine.run(listed("no", process, []), given))
    except ClusterError as error:
        return str(error)
    finally:
        engine.stop()
    return ""


def main(root: str) -> None:
    few, many = table(root, 10), table(root, FEW_ROWS + 1)
    engine = Engine(root, Machine(cpus=2))
    asked = {"one": few, "two": few, "several": few, "dies": few, "after": few}
    asked |= {"alone": many, "much": many}
    for phase, file in asked.items():
        function = deadly_once if phase == "dies" else process
        given = works(phase, file, {"alone": 1, "several": 3 * FEW_TASKS}.get(phase, 3))
        outcomes = list(engine.run(listed(phase, function, []), given))
        names = sorted(work.task.name for work in given)
        assert sorted(outcome.name for outcome in outcomes) == names
        assert not any(outcome.died or outcome.bug for outcome in outcomes), outcomes
    found: dict[str, object] = {phase: done(root, phase) for phase in asked}
    said = {"did": found, "refused": refused(root, works("no", few, 1))}
    sys.stdout.write(json.dumps({**said, "threads": os.environ["OMP_NUM_THREADS"]}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
