"""A run's directory: what is somebody else's is refused before anything is written, and never removed."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from tamis.pipeline.runs import plan, walk
from tamis.pipeline.runs.state import check_output
from tamis.schemas.errors import JobError, StateError, TamisError
from tamis.schemas.events import Event, PhaseEnded
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

STEPS = """
  - signals: [words]
  - rules: {words: {min: 1}}
  - write"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tar and a finished run over it; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("finished")
    samples = [Sample(f"k{i}", picture(i * 9999), f"caption {i}", {}) for i in range(4)]
    write_tar(folder / "in/0.tar", samples)
    run_here(job(folder))
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy; the inputs keep their times, by which they are known."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def job(folder: Path, output: str = "run", pattern: str = "in/*.tar") -> plan.Plan:
    return make_plan(folder / output, folder / pattern, STEPS)


def refused(made: plan.Plan, folder: Path) -> str:
    """What both `plan` and `run` say; neither may have touched a file."""
    before = contents(folder)
    with pytest.raises(TamisError) as planned:
        check_output(made)
    with pytest.raises(TamisError) as tried:
        run_here(made)
    assert contents(folder) == before
    assert str(planned.value) == str(tried.value)
    return str(tried.value)


@pytest.mark.parametrize(
    "name",
    [
        "shards/00000.tar",
        "shards/mine.tar",
        "ledger/x.parquet",
        "tables/ingest/files/keep.parquet",
        "subset.npy",
        "job.yaml",
        "manifest.json",
    ],
)
def test_a_folder_with_somebody_elses_files_is_refused(name: str, folder: Path) -> None:
    mine = folder / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my own")
    said = refused(job(folder, "mine"), folder)
    assert f"mine: holds {name.partition('/')[0]}, but no plan.json" in said
    assert "move it away, or give another `output:`" in said


@pytest.mark.parametrize("there", [(), ("report.html", "evaluation/x.json", "prediction.json")])
def test_an_empty_folder_and_what_other_commands_leave_are_fine(
    there: tuple[str, ...], folder: Path
) -> None:
    (folder / "new").mkdir()
    for name in there:
        (folder / "new" / name).parent.mkdir(exist_ok=True)
        (folder / "new" / name).write_bytes(b"left by another command")
    assert run_here(job(folder, "new")).tasks_run > 0


@pytest.mark.parametrize("text", ["{}", "null", "[]", '{"job": "test"}', "5", ""])
def test_an_empty_plan_is_not_a_new_one(text: str, folder: Path) -> None:
    (folder / "run/plan.json").write_text(text)
    assert "plan.json is damaged" in refused(job(folder), folder)


def test_an_input_below_the_output_is_refused(folder: Path) -> None:
    said = refused(job(folder, "run", "run/shards/*.tar"), folder)
    assert "the input" in said
    assert "shards/00000.tar lies in it" in said


def test_only_what_is_called_as_ours_is_removed(folder: Path) -> None:
    foreign = ("shards/mine.tar", "ledger/x.parquet", "tables/ingest/files/keep.parquet")
    stale = (
        "shards/00007.tar",
        "ledger/bundle-00009.parquet",
        "tables/rules/verdict/bundle-00009.parquet",
        "tables/signals/values/part-00009.parquet",
    )
    for name in (*foreign, *stale):
        (folder / "run" / name).write_bytes(b"zz")
    (folder / "run/.note.partial").write_bytes(b"zz")
    run_here(job(folder))
    assert [name for name in foreign if not (folder / "run" / name).exists()] == []
    assert [name for name in stale if (folder / "run" / name).exists()] == []
    assert (folder / "run/.note.partial").exists()


def test_a_run_stopped_in_its_first_task_can_go_on(folder: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(_: object) -> None:
        raise StoppedError

    made = job(folder, "new")
    with pytest.raises(StoppedError):
        walk.run(made, [stop])
    assert (folder / "new/plan.json").exists()
    assert run_here(made).tasks_run > 0


def test_what_cannot_be_a_folder_is_refused(folder: Path) -> None:
    for output in ("in/0.tar", "in/0.tar/run"):
        with pytest.raises(JobError, match=r"in/0.tar.* is a file: give another"):
            check_output(job(folder, output))


def test_another_jobs_folder_is_refused_by_plan_too(folder: Path) -> None:
    other = make_plan(folder / "run", folder / "in/*.tar", STEPS, name="other")
    with pytest.raises(StateError, match="belongs to the job `test`, not `other`"):
        check_output(other)


@pytest.mark.parametrize(
    "text", ["[]", "5", "null", "", '{"host": "x", "renewed": null}', '{"host": "x", "process": 1}']
)
def test_a_lock_that_is_none_is_nobodys(text: str, folder: Path) -> None:
    (folder / "run/run.lock").write_text(text)
    assert run_here(job(folder)).tasks_run == 0
    assert not (folder / "run/run.lock").exists()


def test_the_lock_is_read_again_before_the_manifest(folder: Path) -> None:
    """Taken over during the last step, and before the next renewal."""
    lock = {"host": "elsewhere", "process": 12, "renewed": time.time()}

    def last(event: Event) -> None:
        if isinstance(event, PhaseEnded) and (event.step, event.phase) == ("ledger", "index"):
            (folder / "new/run.lock").write_text(json.dumps(lock))

    with pytest.raises(StateError, match="process 12 on elsewhere has taken this run over"):
        run_here(job(folder, "new"), [last])
    assert not (folder / "new/manifest.json").exists()
    assert json.loads((folder / "new/run.lock").read_text()) == lock
