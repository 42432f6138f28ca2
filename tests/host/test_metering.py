"""What tasks are said to have taken, held against what is known of the files that they read and wrote."""

from __future__ import annotations

import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from tamis.pipeline.host.bytes_read import READ, Count
from tamis.pipeline.host.metering import Meter
from tamis.pipeline.store import storage
from tamis.pipeline.store.ranges import read_ranges
from tamis.pipeline.tables.part_files import TableFile
from tamis.schemas.events import Event, PhaseStarted, Spent, TaskDone
from tests.support.running import Sample, make_plan, picture, run_here, write_tar
from tests.support.tables import INDEX

FILE = TableFile("t", "f", (), (), 10, {"outputs": [{"bytes": 7}, {"bytes": 5}]})
STEPS = "  - signals: [words]\n  - exact_duplicates: {on: image}\n  - write: {samples_per_shard: 7}"


def test_every_way_to_read_a_file_is_counted_to_the_byte(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    storage.write_bytes(path, bytes(range(100)))
    before = READ.total
    assert storage.read_bytes(path) == bytes(range(100))
    assert READ.total - before == 100
    with storage.open_read(path) as file:
        assert file.read(30) == bytes(range(30))
        assert file.readinto(memoryview(bytearray(20))) == 20  # type: ignore[attr-defined]
    assert READ.total - before == 150
    assert read_ranges(path, [(10, 5), (90, 10)], merge_gap=0)[1] == bytes(range(90, 100))
    assert READ.total - before == 165


def test_no_count_is_lost_between_threads() -> None:
    count = Count()

    def work() -> None:
        for _ in range(10_000):
            count.add(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.total == 80_000


def large_and_small() -> tuple[Spent, Spent]:
    """A task that holds 256 MB, and one of the same function that does nothing."""

    def function() -> None:
        """Only its identity matters."""

    first = Meter(function)
    held = np.ones((4000, 4000))
    for _ in range(3):
        held = held @ held[:, :1] + held
    large = first.spent(FILE.written)
    del held
    return large, Meter(function).spent(FILE.written)


def test_a_task_is_told_its_own_processor_time_and_memory() -> None:
    # In a process of its own: what other tests have left to this one's allocator may be all the memory that is needed.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        large, small = pool.submit(large_and_small).result()
    assert (large.cold, small.cold) == (True, False)
    assert large.written_bytes == small.written_bytes == 22
    assert large.cpu_seconds > small.cpu_seconds >= 0
    if not large.memory_bytes:
        pytest.skip("this system does not tell a process its peak")
    assert large.memory_bytes - small.memory_bytes > 100 << 20


def test_a_run_tells_of_each_task_what_it_read_and_wrote(tmp_path: Path) -> None:
    samples = [Sample(f"{i:03d}", picture(i), f"number {i}", {}) for i in range(20)]
    tar = write_tar(tmp_path / "in" / "0.tar", samples)
    told: list[Event] = []
    run_here(make_plan(tmp_path / "run", tar, STEPS, part_samples=6), [told.append])
    tasks = [event for event in told if isinstance(event, TaskDone)]
    (walked,) = (task for task in tasks if (task.step, task.phase) == ("ingest", "files"))
    # In one process the lease's own look at its file, a hundred bytes now and then, is counted with the task.
    assert tar.stat().st_size <= walked.spent.read_bytes < tar.stat().st_size + 1000
    written = sum(task.spent.written_bytes for task in tasks)
    made = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    kept = [path for path in made if path.suffix in {".parquet", ".tar"} or "_stats" in path.name]
    kept += [tmp_path / "run" / "subset.npy"]
    # Which no task writes.
    by_driver = {INDEX, "plan.parquet", "inputs.parquet", "outputs.parquet"}
    kept = [path for path in kept if path.name not in by_driver]
    assert written == sum(path.stat().st_size for path in kept)
    assert {(e.cpus, e.gpus) for e in told if isinstance(e, PhaseStarted)} == {(1.0, 0.0)}
