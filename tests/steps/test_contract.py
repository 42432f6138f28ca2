"""What every kind of step keeps to: neither order, division, deaths nor bad input show in what it decides."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.pipeline.host.forkserver import ForkServer
from tamis.pipeline.runs import account, walk
from tamis.pipeline.runs.executors import HEAVY, LIBRARIES
from tamis.pipeline.runs.isolate import Executor
from tamis.pipeline.runs.local_engine import ENTRY
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.registry import step_class
from tamis.schemas.resources import Resources
from tests.support.embedded import by_uid
from tests.support.executors import (
    Backwards,
    Counted,
    KilledError,
    Never,
    OnSharedRay,
    OnSharedWorkers,
    SharedRay,
)
from tests.support.running import contents, make_plan
from tests.support.step_cases import CASES, JOB, KINDS, REPEATED, WIDTH, Case, small
from tests.support.tables import small_bundles

RESULT = ("ledger/", "ledger_index/", "shards/", "subsets/", "subset.npy", "manifest.json")
SUBSETS = ("subsets/", "subset.npy")


class Tried:
    """A case, and a run over it in which nothing goes wrong; others are made beside it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.case: Case = CASES[name]
        self.source, self.folder = self.case.source(), folder
        self.entry = self.source.write(folder / "in", self.source.files())
        (folder / "target.txt").write_text("a red cat\nblue tree\n")
        (folder / "list.txt").write_text("u3\nu21\nu38\n")
        vectors = np.random.default_rng(6).standard_normal((3, WIDTH))
        np.save(folder / "target.txt.npy", vectors.astype(np.float32))
        executor = Counted(str(folder / "run"))
        self.result = self.run("run", executor)
        self.done = Counter(executor.done)
        self.repeated = self.case.names[: REPEATED[name]]

    @property
    def own(self) -> Counter[str]:
        """The tasks that no case before this one has too."""
        done = tuple(f"tables/{step}/" for step in self.repeated)
        return Counter(path for path in self.done if not path.startswith(done))

    @property
    def phases(self) -> Mapping[str, int]:
        """The folder of each phase of those, and how many of its tasks they are."""
        return Counter(path.rpartition("/")[0] for path in self.own)

    def run(self, name: str, executor: Executor, **job: Any) -> account.Result:
        """Do the job into the folder ``name``."""
        steps = self.case.steps.replace("TARGET", str(self.folder / "target.txt"))
        steps = steps.replace("LIST", str(self.folder / "list.txt"))
        settings = {**JOB, "input": [self.entry], **job}
        made = make_plan(self.folder / name, "", steps, **settings)
        return walk.run(made, executor=executor)

    def over(self, name: str, files: Sequence[Sequence[Any]], **job: Any) -> account.Result:
        """The same job over other files."""
        entry = self.source.write(self.folder / f"{name}-in", files)
        return self.run(name, Here(str(self.folder / name)), input=[entry], **job)

    def begun(self, name: str, steps: Sequence[str]) -> str:
        """A run in which no more than the first ``steps`` are done, by its folder."""
        shutil.copytree(self.folder / "run", self.folder / name)
        for path in (self.folder / name).iterdir():
            if path.name in RESULT or f"{path.name}/" in RESULT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in (self.folder / name / "tables").iterdir():
            if path.name not in steps:
                shutil.rmtree(path)
        return str(self.folder / name)

    def files(self, name: str = "run", only: Sequence[str] = ("",)) -> dict[str, bytes]:
        """What a run left, but for the job, which says where it was done."""
        found = contents(self.folder / name)
        return {
            path: data
            for path, data in found.items()
            if path.startswith(tuple(only)) and path != "job.yaml"
        }

    def verdicts(self, name: str = "run") -> dict[str, dict[str, Any]]:
        """The ledger by uid, without what says where a sample lies or went to."""
        places = {"error_offset", "shard", "shard_key"}
        return {
            uid: {column: value for column, value in row.items() if column not in places}
            for uid, row in by_uid(self.folder / name).items()
        }


@pytest.fixture(scope="module", autouse=True)
def several_bundles() -> Iterator[None]:
    """For all runs here: how many parts a file of the ledger has is a matter of layout, and shows."""
    with pytest.MonkeyPatch.context() as patch:
        small_bundles(patch, 3)
        yield


@pytest.fixture(scope="module", params=sorted(CASES))
def tried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    with small():
        return Tried(request.param, tmp_path_factory.mktemp("step"))


@pytest.fixture
def cut_small() -> Iterator[None]:
    with small():
        yield


def assert_balanced(result: account.Result, verdicts: Mapping[str, Mapping[str, Any]]) -> None:
    """All that enters is kept or dropped after every step, and the ledger says the same."""
    alive = len(verdicts)
    for step in result.accounts:
        assert step.entered == alive
        assert all(count >= 0 for count in step.dropped.values())
        reasons = Counter(row["reason"] for row in verdicts.values() if row["step"] == step.step)
        assert reasons == {reason: n for reason, n in step.dropped.items() if n}
        alive -= reasons.total()
    assert sum(row["kept"] for row in verdicts.values()) == alive > 0


def test_every_kind_has_a_case() -> None:
    assert {case.kind for case in CASES.values()} == KINDS


def test_each_sample_is_kept_or_dropped_for_a_reason(tried: Tried) -> None:
    verdicts = tried.verdicts()
    assert len(verdicts) == len(tried.source.usual)
    assert_balanced(tried.result, verdicts)
    dropped = [row for row in verdicts.values() if row["step"] == tried.case.kind]
    assert bool(dropped) == tried.case.decides


def test_no_phase_has_the_folder_of_another(tried: Tried) -> None:
    assert set(tried.done.values()) == {1}


@pytest.mark.usefixtures("cut_small")
def test_neither_order_nor_division_into_files_and_parts_nor_bad_rows_matter(tried: Tried) -> None:
    """Among the files one of rows that cannot be used, and one without any."""
    mixed = random.Random(8).sample(tried.source.usual, len(tried.source.usual))
    unusable = list(tried.source.bad)
    files = [mixed[:9], unusable, mixed[9:33], [], mixed[33:34], mixed[34:]]
    result = tried.over("mixed", files, part_samples=13, range_samples=30)
    found = tried.verdicts("mixed")
    assert_balanced(result, found)
    bad = set(found) - set(tried.verdicts())
    assert len(bad) == len(unusable)
    assert {found[uid]["step"] for uid in bad} <= {"ingest"}
    assert {uid: row for uid, row in found.items() if uid not in bad} == tried.verdicts()
    assert tried.files("mixed", SUBSETS) == tried.files("run", SUBSETS)


def test_into_how_many_tasks_the_work_is_cut_shows_nowhere(tried: Tried) -> None:
    usual = Counted(str(tried.folder / "usual"))
    tried.run("usual", usual)
    assert len(usual.done) < tried.done.total()
    assert tried.files("usual", RESULT) == tried.files("run", RESULT)


@pytest.mark.usefixtures("cut_small")
def test_the_order_in_which_tasks_end_changes_no_byte(tried: Tried) -> None:
    tried.run("backwards", Backwards(tried.begun("backwards", tried.repeated)))
    assert tried.files("backwards") == tried.files()


@pytest.mark.usefixtures("cut_small")
def test_killed_in_every_phase_it_ends_the_same_and_does_nothing_twice(tried: Tried) -> None:
    """The tasks of a phase are done in any order."""
    root, done = tried.begun("killed", tried.repeated), list[str]()
    for phase, tasks in tried.phases.items():
        executor = Counted(root, phase, (tasks + 1) // 2, seed=len(done))
        with pytest.raises(KilledError):
            tried.run("killed", executor)
        assert not (tried.folder / "killed/manifest.json").exists()
        done += executor.done
    executor = Counted(root, seed=len(done))
    tried.run("killed", executor)
    assert Counter(done + executor.done) == tried.own
    assert tried.files("killed") == tried.files()


@pytest.mark.usefixtures("cut_small")
def test_the_same_again_does_nothing(tried: Tried) -> None:
    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in tried.folder.glob("run/**/*.*")}

    before = times()
    assert tried.run("run", Never(str(tried.folder / "run"))).tasks_run == 0
    assert times() == before


@pytest.fixture(scope="module")
def two_workers() -> Iterator[SharedRay]:
    """A Ray with two processors, for all cases."""
    shared = SharedRay()
    yield shared
    shared.stop()


def test_two_real_workers_give_the_bytes_of_one_process(
    tried: Tried, two_workers: SharedRay
) -> None:
    tried.run("ray", OnSharedRay(tried.begun("ray", tried.case.names[:-1]), two_workers))
    assert tried.files("ray", RESULT) == tried.files("run", RESULT)


@pytest.fixture(scope="module")
def forked() -> Iterator[ForkServer]:
    """The process that local workers are forked from, for all cases, with what a run would have it import."""
    server = ForkServer(ENTRY)
    server.preload(
        [*LIBRARIES, *HEAVY.values(), *(step_class(kind).__module__ for kind in sorted(KINDS))]
    )
    yield server
    server.stop()


def test_two_local_workers_that_are_killed_time_and_again_give_the_bytes_of_one_process(
    tried: Tried, forked: ForkServer
) -> None:
    root = tried.begun("local", tried.case.names[:-1])
    engine = OnSharedWorkers(root, Resources(cpus=2), forked, kills=5)
    tried.run("local", engine)
    assert engine.killed
    assert tried.files("local", RESULT) == tried.files("run", RESULT)
