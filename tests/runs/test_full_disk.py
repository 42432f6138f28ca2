"""A disk without room is one line, and once there is room the same command goes on where it was."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running import contents, make_plan, run_here

ROOT = Path(__file__).resolve().parents[2]
STEPS = "  - signals: [words, min_side]\n  - rules: {words: {min: 2}}\n  - write: {samples_per_shard: 1000}"

TAR = "00000.tar"

# The command itself, in one process: what it says and how it ends are the same.
COMMAND = """
import sys
from tamis.pipeline.runs import executors
from tamis.pipeline.tasks.perform import Here
executors.LocalEngine = lambda root, *_: Here(root)
from tamis.jobs.cli.app import main
main(["run", sys.argv[1]])
"""


@pytest.fixture
def job(clipart_example: Path, tmp_path: Path) -> Path:
    """A job whose output is the folder ``disk/run``."""
    (tmp_path / "disk").mkdir()
    text = f"input: [{{path: '{clipart_example}/{TAR}'}}]\noutput: {tmp_path}/disk/run"
    (tmp_path / "job.yaml").write_text(f"name: test\n{text}\npart_samples: 100\nsteps:\n{STEPS}\n")
    return tmp_path / "job.yaml"


def begin(job: Path, largest_file: int | None = None) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        if largest_file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run(
        [sys.executable, "-c", COMMAND, str(job)],
        cwd=ROOT,
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )


def assert_refused(done: subprocess.CompletedProcess[str], why: str) -> None:
    assert done.returncode == 2, done.stderr
    said = done.stderr.splitlines()
    assert not [line for line in said if not line.startswith("tamis: ")], done.stderr
    assert f"cannot be written: {why}: make room, and the same command" in done.stderr


@pytest.fixture(scope="module")
def whole(clipart_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same job where there is room."""
    output = tmp_path_factory.mktemp("whole") / "run"
    run_here(make_plan(output, clipart_example / TAR, STEPS, part_samples=100))
    return output


def assert_goes_on(job: Path, whole: Path, tmp_path: Path) -> None:
    """With room it does what is left, and nothing is left over of what was half written."""
    stood = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "disk/run/tables").rglob("*.parquet")
    }
    assert stood
    done = begin(job)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in stood} == stood
    assert not list((tmp_path / "disk").rglob(".*.partial"))
    for folder in ("shards", "ledger", "ledger_index"):
        assert contents(tmp_path / "disk/run" / folder) == contents(whole / folder)
    for name in ("manifest.json", "subset.npy"):
        found, wanted = (run / name for run in (tmp_path / "disk/run", whole))
        assert found.read_bytes() == wanted.read_bytes()


def test_a_file_that_may_grow_no_more(job: Path, whole: Path, tmp_path: Path) -> None:
    # Larger than every table and smaller than a shard.
    assert_refused(begin(job, largest_file=300_000), "file too large")
    assert_goes_on(job, whole, tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path, job: Path) -> Iterator[Path]:
    """``disk`` as a file system of 1 MB, less than the pictures have."""
    disk = tmp_path / "disk"
    mounted = (
        os.getuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tamis-test", str(disk)],
            capture_output=True,
            check=False,
        ).returncode
    )
    if not mounted:
        pytest.skip(
            "no right to mount a small file system: the limit of a file's size is tried instead"
        )
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_full(small_disk: Path, job: Path, whole: Path, tmp_path: Path) -> None:
    assert_refused(begin(job), "no space left on device")
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert_goes_on(job, whole, tmp_path)
