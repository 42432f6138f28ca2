"""What this user may not read or write: named in one line before anything is made of the rest."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.forked_commands import Commands, forked_commands
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

STEPS = "- signals: [words]\n- rules: {words: {min: 1}}\n- write"

AS_NOBODY = ["setpriv", "--inh-caps", "-all", "--bounding-set", "-all"]
"""Root without its capabilities is bound by the modes of files, as anybody is."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may read all"
    ),
]


@pytest.fixture(scope="module")
def tamis() -> Iterator[Commands]:
    """Commands that are bound by the modes of files."""
    with forked_commands(before=AS_NOBODY if os.geteuid() == 0 else []) as commands:
        yield commands


def job(folder: Path, path: str, output: str = "out") -> Path:
    steps = STEPS.replace("\n", "\n  ")
    read = json.dumps([{"path": f"{folder}/{path}"}])
    text = f"name: p\ninput: {read}\noutput: {folder}/{output}\nsteps:\n  {steps}\n"
    (folder / "job.yaml").write_text(text)
    return folder / "job.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tars in folders of their own."""
    for name in ("a", "b"):
        samples = [Sample(f"{name}{i}", picture(i * 999), "two words", {}) for i in range(3)]
        write_tar(tmp_path / f"in/{name}/0.tar", samples)
    return tmp_path


LOCKED = {
    "a file": ("in/*/*.tar", "in/b/0.tar", 0),
    "a folder": ("in/*/*.tar", "in/b", 0),
    "a folder below": ("in/**/*.tar", "in/b", 0),
    "a folder that may be listed and not entered": ("in/b/*.tar", "in/b", 0o444),
    "a folder that is named": ("in/{a,b}/0.tar", "in/b", 0),
}


@pytest.mark.parametrize("kind", LOCKED)
def test_an_input_that_may_not_be_read_is_named(kind: str, folder: Path, tamis: Commands) -> None:
    pattern, path, mode = LOCKED[kind]
    (folder / path).chmod(mode)
    try:
        done = tamis("run", job(folder, pattern), "--local", "--progress", "none")
    finally:
        (folder / path).chmod(0o755)
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert str(folder / path) in last
    assert "ermission denied" in last
    assert "credentials" not in last
    assert not (folder / "out/manifest.json").exists()


def test_a_run_that_may_not_be_written_is_read(folder: Path, tamis: Commands) -> None:
    run_here(make_plan(folder / "run", f"{folder}/in/*/*.tar", STEPS))
    before = contents(folder / "run")
    places = [folder / "run", *(path for path in (folder / "run").rglob("*") if path.is_dir())]
    for place in places:
        place.chmod(0o555)
    try:
        for command in (
            ["verify", folder / "run"],
            ["audit", folder / "run"],
            ["explain", folder / "run", "a1"],
            ["report", folder / "run", "--output", folder / "page.html"],
            ["whatif", folder / "run", "--set", "rules.words.min=3"],
            ["contains", folder / "run"],
            ["export", folder / "run", "--as", "csv", "--output", folder / "exported"],
        ):
            done = tamis(*command)
            assert done.returncode == 0, (command, done.stderr)
        for command in (
            ["report", folder / "run"],
            ["clean", folder / "run", "--yes"],
            ["run", job(folder, "in/*/*.tar", "run"), "--local"],
        ):
            done = tamis(*command)
            assert done.returncode == 2, (command, done.stderr)
            (line,) = done.stderr.splitlines()
            assert "permission denied" in line or "cannot be written to" in line
    finally:
        for place in places:
            place.chmod(0o755)
    assert contents(folder / "run") == before
