"""A user who is not root, has no name and no home: what it may read it reads, and what is another's it leaves alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.forked_commands import Commands
from tests.support.other_user import (
    USER,
    commands_of_other,
    run_as_other,
    shared_folder,
    why_impossible,
)
from tests.support.running import Sample, contents, make_plan, picture, run_here, write_tar

STEPS = "- signals: [words]\n- rules: {words: {min: 1}}\n- write"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    why = why_impossible()
    if why:
        pytest.skip(why)


@pytest.fixture(scope="module")
def tamis(_possible: None) -> Iterator[Commands]:
    """Commands of that user."""
    with commands_of_other() as commands:
        yield commands


@pytest.fixture
def folder() -> Iterator[Path]:
    """Root's inputs, which all may read, and a folder `theirs` of the other user."""
    with shared_folder() as made:
        samples = [Sample(f"k{i}", picture(i * 999), "two words", {"n": i}) for i in range(6)]
        write_tar(made / "in/0.tar", samples)
        (made / "theirs").mkdir()
        os.chown(made / "theirs", USER, USER)
        yield made


def job(folder: Path, output: str) -> Path:
    steps = STEPS.replace("\n", "\n  ")
    read = json.dumps([{"path": f"{folder}/in/*.tar"}])
    text = f"name: test\ninput: {read}\noutput: {folder}/{output}\nsteps:\n  {steps}\n"
    path = folder / "job.yaml"
    path.write_text(text)
    path.chmod(0o644)
    return path


def refused(tamis: Commands, folder: Path, *arguments: object) -> str:
    """The one line of a command that may not do what it should, which has changed nothing."""
    before = contents(folder)
    done = tamis(*arguments)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert contents(folder) == before
    return line


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_run_is_its_users(umask: int, folder: Path, tamis: Commands) -> None:
    """Files have the user's umask, and the bytes that root's run has."""
    run_here(make_plan(folder / "roots", f"{folder}/in/*.tar", STEPS))
    made = folder / "theirs/run"
    done = tamis("run", job(folder, "theirs/run"), "--local", "--progress", "none", umask=umask)
    assert done.returncode == 0, done.stderr
    for path in made.rglob("*"):
        assert path.stat().st_uid == USER
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~umask, path
    for name in ("shards", "ledger", "ledger_index", "tables"):
        assert contents(made / name) == contents(folder / "roots" / name)
    for command in (
        ["verify", made, "--deep"],
        ["report", made],
        ["export", made, "--as", "csv", "--output", folder / "theirs/exported"],
        ["materialize", made, "--as", folder / "theirs/other", "--set", "rules.words.min=2"],
        ["clean", made, "--yes"],
    ):
        done = tamis(*command, umask=umask)
        assert done.returncode == 0, (command, done.stderr)


def test_anothers_run_is_read_and_never_written(folder: Path, tamis: Commands) -> None:
    run_here(make_plan(folder / "run", f"{folder}/in/*.tar", STEPS))
    for command in (["verify"], ["audit"], ["explain"], ["whatif"], ["contains"]):
        more = {"explain": ["k3"], "whatif": ["--set", "rules.words.min=2"]}.get(command[0], [])
        done = tamis(*command, folder / "run", *more)
        assert done.returncode == 0, (command, done.stderr)
    taken = "cannot be written to"
    assert taken in refused(tamis, folder, "run", job(folder, "run"), "--local")
    assert taken in refused(tamis, folder, "run", job(folder, "new"), "--local")
    assert "ermission denied" in refused(tamis, folder, "report", folder / "run")
    assert "ermission denied" in refused(tamis, folder, "clean", folder / "run", "--yes")


def test_a_run_of_another_in_a_sticky_folder_stays_theirs(folder: Path, tamis: Commands) -> None:
    """All may add files there, as in `/tmp`, and nobody may take another's away."""
    run_here(make_plan(folder / "run", f"{folder}/in/*.tar", STEPS))
    for place in [folder / "run", *(p for p in (folder / "run").rglob("*") if p.is_dir())]:
        place.chmod(0o1777)
    before = contents(folder / "run")
    changed = ["--set", "rules.words.min=2", "--local", "--progress", "none"]
    done = tamis("run", job(folder, "run"), *changed)
    assert done.returncode == 2, done.stderr
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("tamis: ")]
    assert "not permitted" in line
    assert {name: contents(folder / "run").get(name) for name in before} == before
    assert not (folder / "run/run.lock").exists()
    (folder / "shared").mkdir()
    (folder / "shared").chmod(0o1777)
    done = tamis("run", job(folder, "shared/mine"), "--local", "--progress", "none")
    assert done.returncode == 0, done.stderr


def test_an_input_that_is_another_users_alone_is_named(folder: Path, tamis: Commands) -> None:
    (folder / "in/0.tar").chmod(0o600)
    line = refused(tamis, folder, "plan", job(folder, "theirs/run"))
    assert str(folder / "in/0.tar") in line
    assert "ermission denied" in line


def test_the_user_is_another(folder: Path) -> None:
    """Else the tests above would show nothing."""
    assert run_as_other("id", "-u").stdout.strip() == str(USER)
    assert run_as_other("touch", folder / "in/new").returncode != 0
