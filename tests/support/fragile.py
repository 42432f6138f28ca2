"""A decoder that some pictures end: the process at once (``abort``, as a crash in C does), or for want of memory.

So may a file whose name is given, or its row groups: "0.parquet", "0.parquet 3".

As a program: does a job on Ray with workers whose decoder is so, and prints the notices as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.inputs import images
from tamis.pipeline.inputs.parquet import batch_size, file, rows
from tamis.pipeline.runs import walk as run
from tamis.pipeline.runs.local_engine import LocalEngine
from tamis.pipeline.runs.ray_engine import RayEngine
from tamis.pipeline.tasks.perform import Here, Outcome, Work
from tamis.pipeline.tasks.phase import Phase
from tamis.pipeline.tasks.task import Function, TaskIo
from tamis.schemas.events import Event, Notice
from tests.support.running import make_plan
from tests.support.tables import files

Deadly = dict[str, list[str]]
"""Phase -> sha256 of the pictures that its workers cannot open, names of files, or of their row groups."""


def fragile(
    function: Function, deadly: Sequence[str], abort: bool, io: TaskIo[Any]
) -> Iterator[pa.Table]:
    """A task's function, in a process with such a decoder."""
    sound = images._read

    def die_of(name: str) -> None:
        if name in deadly:
            if abort:
                os.abort()
            raise MemoryError

    def read(data: bytes | memoryview, *arguments: Any) -> Any:
        die_of(hashlib.sha256(data).hexdigest())
        return sound(data, *arguments)

    def open_parquet(path: str) -> Any:
        die_of(os.path.basename(path))
        return file.open_parquet(path)

    def batch_rows(parquet: file.InputParquet, group: int, *arguments: Any) -> int:
        die_of(f"{os.path.basename(io.args.path)} {group}")
        return batch_size.batch_rows(parquet, group, *arguments)

    with (
        mock.patch.object(images, "_read", read),
        mock.patch.object(rows, "open_parquet", open_parquet),
        mock.patch.object(rows, "batch_rows", batch_rows),
    ):
        yield from function(io)


def weakened(phase: Phase[Any], deadly: Deadly, abort: bool) -> Phase[Any]:
    """The phase on such workers."""
    function = partial(fragile, phase.function, deadly.get(phase.name, []), abort)
    return Phase(**{**vars(phase), "function": function})


class FragileHere(Here):
    """In this process, where only a lack of memory can be survived."""

    def __init__(self, root: str, deadly: Deadly) -> None:
        super().__init__(root)
        self.deadly = deadly
        self.tasks = 0

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        self.tasks += len(works)
        return super().run(weakened(phase, self.deadly, abort=False), works)


class FragileEngine(RayEngine):
    """On Ray, with real deaths."""

    deadly: Deadly

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        return super().run(weakened(phase, self.deadly, abort=True), works)


class FragileWorkers(LocalEngine):
    """Worker processes without Ray, with real deaths."""

    deadly: Deadly

    def run(self, phase: Phase[Any], works: Sequence[Work]) -> Iterator[Outcome]:
        return super().run(weakened(phase, self.deadly, abort=True), works)


def hashes(output: Path, keys: Sequence[str]) -> list[str]:
    """The sha256 of some samples' pictures, as a run's ingest table has them."""
    found = []
    for path in files(output, "ingest", "files"):
        table = pq.read_table(path, columns=["key", "sha256"]).to_pylist()
        found += [row["sha256"].hex() for row in table if row["key"] in keys]
    return found


def main(output: str, pattern: str, steps: str, deadly: Deadly) -> None:
    made = make_plan(Path(output), pattern, steps, part_samples=8, resources={"cpus": 2})
    engine = FragileEngine(made.root, made.job.resources)
    engine.deadly = deadly
    told: list[Event] = []
    run.run(made, [told.append], executor=engine)
    notices = [event.text for event in told if isinstance(event, Notice)]
    sys.stdout.write(f"{json.dumps(notices)}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
