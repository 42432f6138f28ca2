"""A run directory that is moved or copied: it goes on where it lies now, to the same bytes, or asks where."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tamis.jobs.cli.app import main
from tamis.schemas.errors import StorageError
from tests.support.faulty import Disk, faulty
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

STEPS = "- signals: [words]\n- rules: {words: {min: 1}}\n- write: {samples_per_shard: 4}"
STOPPED = 500
"""The call of the disk at which the run is stopped, more or less in its middle."""

WAYS: dict[str, Callable[[Path, Path], object]] = {
    "moved": lambda old, new: old.rename(new),
    "copied": shutil.copytree,
    "copied without its times": lambda old, new: shutil.copytree(old, new, copy_function=shutil.copy),
}  # fmt: skip


def result(root: Path) -> dict[str, bytes]:
    parts = ("shards/", "ledger", "tables/", "subset.npy")
    return {name: data for name, data in contents(root).items() if name.startswith(parts)}


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("way", WAYS)
def test_an_unfinished_run_goes_on_elsewhere(
    way: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = [Sample(f"k{i}", picture(i * 999), "two words", {}) for i in range(12)]
    made = write_tar(tmp_path / "in/0.tar", samples)
    run_here(make_plan(tmp_path / "sound", made, STEPS, part_samples=4))
    old, new = tmp_path / "old", tmp_path / "new"
    with pytest.raises(StorageError), faulty(Disk(STOPPED, 5)):
        run_here(make_plan(old, made, STEPS, part_samples=4))
    assert (old / "plan.json").exists()
    WAYS[way](old, new)
    before = contents(new)
    for command in (["plan", f"{new}/job.yaml"], ["run", f"{new}/job.yaml", "--local"]):
        assert called(*command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"moved or copied from `{old}`" in line
        assert f"--output {new}" in line
    monkeypatch.chdir(new)
    assert called("plan", "job.yaml") == 2
    capsys.readouterr()
    assert contents(new) == before
    run_here(make_plan(new, made, STEPS, part_samples=4))
    assert result(new) == result(tmp_path / "sound")
    assert old.exists() == (way != "moved")


def test_a_run_that_is_reached_through_a_link_has_not_moved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = write_tar(tmp_path / "in/0.tar", [Sample("k", picture(7), "two words", {})])
    run_here(make_plan(tmp_path / "run", made, STEPS))
    os.symlink("run", tmp_path / "link")
    assert called("plan", f"{tmp_path}/link/job.yaml") == 0
    os.rename(tmp_path / "run", tmp_path / "else")
    assert called("plan", f"{tmp_path}/else/job.yaml", "--output", f"{tmp_path}/else") == 0
    assert called("verify", f"{tmp_path}/else") == 0
    capsys.readouterr()
