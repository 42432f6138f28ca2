"""Worker processes without Ray: none of their tasks is lost or done twice, and no death is blamed on another task."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from tamis.pipeline.host import at_work, machine
from tamis.pipeline.runs.local_engine import LocalEngine
from tamis.pipeline.runs.window import CALL
from tamis.pipeline.tasks.claims import Claim
from tamis.pipeline.tasks.perform import Outcome
from tamis.pipeline.tasks.phase import Listed, Phase
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.errors import BugError, ClusterError
from tamis.schemas.resources import Claimed, Resources
from tests.support.engine import CPUS, DEADLY, MANY, Lazy, deadly, deadly_once, done, fatal, process


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LocalEngine]:
    made = LocalEngine(str(tmp_path), Resources(cpus=CPUS))
    yield made
    made.stop()


def phase(name: str, function: Any = process, **claims: Any) -> Phase[Any]:
    return Phase(name, function, Listed([]), resources=Claimed(**claims))


def do(engine: LocalEngine, made: Phase[Any], count: int) -> list[Outcome]:
    """Have so many tasks done; every one has one outcome."""
    outcomes = list(engine.run(made, Lazy(made.name, count)))
    names = sorted(work.name for work in Lazy(made.name, count))
    assert sorted(outcome.name for outcome in outcomes) == names
    return outcomes


def who(tmp_path: Path, name: str) -> set[object]:
    """The processes that did the tasks of a phase."""
    return {row["process"] for row in done(str(tmp_path), name)}


def test_workers_are_kept_from_phase_to_phase_and_those_of_a_pool_are_its_own(
    engine: LocalEngine, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        do(engine, phase(name), 40)
    do(engine, phase("pool", pool=True), 40)
    do(engine, phase("three"), 40)
    first = who(tmp_path, "one") | who(tmp_path, "two")
    assert len(first) <= CPUS
    assert os.getpid() not in first
    pool, last = who(tmp_path, "pool"), who(tmp_path, "three")
    assert len(first | pool | last) == len(first) + len(pool) + len(last)


def test_a_worker_has_one_thread_for_products(engine: LocalEngine, tmp_path: Path) -> None:
    do(engine, phase("one"), 1)
    assert [row["threads"] for row in done(str(tmp_path), "one")] == ["1"]


def test_few_tasks_are_looked_at_ahead_and_each_once(engine: LocalEngine) -> None:
    works = Lazy("many", MANY)
    ahead = 0
    for finished, _ in enumerate(engine.run(phase("many"), works)):
        ahead = max(ahead, works.looked.total() - finished)
    assert set(works.looked.values()) == {1}
    assert ahead <= CPUS * CALL


def test_of_a_chunk_whose_worker_dies_what_was_done_stays_and_the_rest_is_done(
    engine: LocalEngine, tmp_path: Path
) -> None:
    outcomes = do(engine, phase("many", deadly), MANY)
    assert [outcome.name for outcome in outcomes if outcome.died] == [f"part-{DEADLY:05d}"]
    assert len(done(str(tmp_path), "many")) == MANY - 1
    begun = Counter((tmp_path / "begun").read_text().splitlines())
    assert set(begun.values()) == {1}


def test_a_task_that_dies_once_is_done(engine: LocalEngine, tmp_path: Path) -> None:
    outcomes = do(engine, phase("dies", deadly_once), 3)
    assert not any(outcome.died for outcome in outcomes)
    assert len(done(str(tmp_path), "dies")) == 3


def test_tasks_that_nobody_survives_end_as_such(engine: LocalEngine) -> None:
    assert all(outcome.died for outcome in do(engine, phase("fatal", fatal), 3))
    assert not any(outcome.died for outcome in do(engine, phase("after"), 3))


def test_a_worker_that_was_killed_with_nothing_to_do_is_replaced(
    engine: LocalEngine, tmp_path: Path
) -> None:
    do(engine, phase("before"), 20)
    for worker in who(tmp_path, "before"):
        assert isinstance(worker, int)
        os.kill(worker, signal.SIGKILL)
        while psutil.pid_exists(worker):
            time.sleep(0.01)
    outcomes = do(engine, phase("after", tries=1), 20)
    assert not any(outcome.died for outcome in outcomes)


def failing(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """A bug."""
    raise KeyError(io.task.number)


def test_a_bug_is_raised_with_its_traceback(engine: LocalEngine) -> None:
    with pytest.raises(BugError, match=r"tables/bug/t0\.parquet:\n(?s:.*)KeyError: 0"):
        list(engine.run(phase("bug", failing), Lazy("bug", 1)))
    do(engine, phase("after"), 3)


def slow(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """Longer than a test waits."""
    if io.task.number:
        signal.pause()
    yield from process(io)


def test_what_is_at_work_is_ended_where_nobody_waits_for_it(
    engine: LocalEngine, tmp_path: Path
) -> None:
    for _ in engine.run(phase("slow", slow), Lazy("slow", 2)):
        break
    assert len(done(str(tmp_path), "slow")) == 1
    do(engine, phase("after"), 3)
    assert not who(tmp_path, "slow") & who(tmp_path, "after")


def test_what_this_machine_lacks_is_said_before_the_first_task(tmp_path: Path) -> None:
    claim = Claim("later", 1, 1000, 0)
    engine = LocalEngine(str(tmp_path), Resources(cpus=CPUS), pending=[claim])
    with pytest.raises(ClusterError, match=r"^later: a worker claims 1 CPU, 1000 GPU, and no node"):
        list(engine.run(phase("no"), Lazy("no", 1)))
    assert not (tmp_path / "begun").exists()


def visible(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """The GPUs that a worker sees."""
    yield pa.table({"gpus": [os.environ.get("CUDA_VISIBLE_DEVICES", "unset")]})


@pytest.mark.parametrize(
    ("claims", "seen"),
    [({"gpus": 1}, {"4", "5"}), ({"gpus": 2}, {"4,5"}), ({"gpus": 0.5}, {"4", "5"}), ({}, {"4,5"})],
)
def test_workers_see_the_gpus_that_they_hold(
    claims: Any, seen: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    engine = LocalEngine(str(tmp_path), Resources(cpus=4))
    try:
        list(engine.run(phase("gpu", visible, **claims), Lazy("gpu", 40)))
        told = {str(row["gpus"]) for row in done(str(tmp_path), "gpu")}
        assert told <= seen
        list(engine.run(phase("none", visible), Lazy("none", 1)))
        assert [row["gpus"] for row in done(str(tmp_path), "none")] == ["4,5"]
    finally:
        engine.stop()


@pytest.mark.parametrize(
    ("driver", "devices", "seen"),
    [(["0000:00:06.0", "0000:00:07.0"], [], ["0", "1"]), ([], ["nvidia0"], ["0"]), ([], [], [])],
)
def test_gpus_are_found_where_the_driver_shows_them(
    driver: list[str],
    devices: list[str],
    seen: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some containers have devices only, beside those of no GPU."""
    shown = {"gpus": driver, "dev": [*devices, "nvidiactl", "nvidia-uvm"]}
    for folder, names in shown.items():
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
    found = zip(shown, (pattern for _, pattern in machine.DRIVERS), strict=True)
    monkeypatch.setattr(machine, "DRIVERS", [(str(tmp_path / name), what) for name, what in found])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine.gpus() == seen


def test_memory_claimed_by_each_bounds_how_many_work_at_once(tmp_path: Path) -> None:
    engine = LocalEngine(str(tmp_path), Resources(cpus=8))
    try:
        list(engine.run(phase("big", memory=machine.memory() * 2 // 3), Lazy("big", 20)))
        assert len(who(tmp_path, "big")) == 1
    finally:
        engine.stop()


def test_the_process_that_workers_are_forked_from_keeps_to_one_thread(tmp_path: Path) -> None:
    modules = ["tamis.pipeline.runs.walk", "tamis.pipeline.steps.embed.step"]
    engine = LocalEngine(str(tmp_path), Resources(cpus=CPUS), modules=modules, heavy=["torch"])
    try:
        do(engine, phase("one", pool=True), 3)
        assert engine._server is not None
        assert psutil.Process(engine._server.pid).num_threads() == 1
    finally:
        engine.stop()


def telling(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """Tells of its rows, and ends once it is known that they were seen."""
    at_work.advance(10)
    while not Path(io.root, "seen").exists():
        time.sleep(0.01)
    at_work.advance(10)
    yield from process(io)


def test_rows_of_tasks_at_work_are_known_before_they_end(
    engine: LocalEngine, tmp_path: Path
) -> None:
    outcomes = engine.run(phase("telling", telling), Lazy("telling", 2))
    seen = threading.Thread(target=_look, args=[tmp_path])
    seen.start()
    assert len(list(outcomes)) == 2
    seen.join()
    assert at_work.rows() == 0


def _look(tmp_path: Path) -> None:
    while at_work.rows() == 0:
        time.sleep(0.01)
    (tmp_path / "seen").touch()
