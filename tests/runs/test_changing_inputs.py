"""An input that changes, while a run is at work or between two runs, is noticed, whatever its size and its time say."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tamis.schemas.errors import InputError, StateError
from tamis.schemas.events import Event, Notice, PhaseEnded
from tests.support.running import (
    Sample,
    contents,
    ledger,
    make_plan,
    picture,
    run_here,
    write_tar,
)

STEPS = "  - signals: [words]\n  - rules: {words: {min: 1}}\n  - write: {samples_per_shard: 3}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    samples = [Sample(f"k{i}", picture(i * 999), f"caption number {i}", {"a": i}) for i in range(7)]
    return write_tar(tmp_path / "in/0.tar", samples)


def change(path: Path, suffix: str, keep_time: bool) -> None:
    """Other bytes, as many, in all members of a suffix."""
    status, data = path.stat(), bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        for member in tar:
            if member.name.endswith(suffix):
                place = slice(member.offset_data, member.offset_data + member.size)
                data[place] = data[place].replace(b"caption", b"CAPTION").replace(b'"a"', b'"b"')
    path.write_bytes(data)
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def at(phase: str, act: Callable[[], None]) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        if isinstance(event, PhaseEnded) and event.phase == phase:
            act()

    return observe


@pytest.mark.parametrize("keep_time", [True, False])
@pytest.mark.parametrize("suffix", ["txt", "json"])
@pytest.mark.parametrize("phase", ["files", "kept", "shards", "subset"])
def test_captions_and_json_that_change(
    phase: str, suffix: str, keep_time: bool, path: Path, tmp_path: Path
) -> None:
    plan = make_plan(tmp_path / "run", path, STEPS)
    with pytest.raises(InputError, match="has changed"):
        run_here(plan, [at(phase, lambda: change(path, suffix, keep_time))])
    assert not (tmp_path / "run/manifest.json").exists()


def test_an_input_that_goes_away(path: Path, tmp_path: Path) -> None:
    plan = make_plan(tmp_path / "run", path, STEPS)
    with pytest.raises(InputError):
        run_here(plan, [at("subset", path.unlink)])
    assert not (tmp_path / "run/manifest.json").exists()


def test_a_file_that_is_only_touched_is_the_same(path: Path, tmp_path: Path) -> None:
    """A copy with its time, a name more, another owner: the bytes decide."""

    def touch() -> None:
        shutil.copy2(path, tmp_path / "copy")
        os.replace(tmp_path / "copy", path)

    run_here(make_plan(tmp_path / "run", path, STEPS), [at("subset", touch)])
    assert (tmp_path / "run/manifest.json").exists()


def test_a_file_that_is_replaced_between_two_runs_with_its_size_and_time(
    path: Path, tmp_path: Path
) -> None:
    run_here(make_plan(tmp_path / "run", path, STEPS))
    change(path, "txt", keep_time=True)
    with pytest.raises(
        StateError, match=r"0\.tar: has changed .*as many bytes, and others.*--accept-changed"
    ):
        run_here(make_plan(tmp_path / "run", path, STEPS))
    run_here(make_plan(tmp_path / "run", path, STEPS, accept_changed=True))
    assert {row["text"][:7] for row in ledger(tmp_path / "run")} == {"CAPTION"}
    assert run_here(make_plan(tmp_path / "run", path, STEPS)).tasks_run == 0


def test_a_folder_of_pictures_in_which_one_is_replaced_likewise(tmp_path: Path) -> None:
    for number in range(3):
        for name, data in (("png", picture(number * 999)), ("txt", b"caption")):
            file = tmp_path / f"in/{number}.{name}"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(data)
    run_here(make_plan(tmp_path / "run", tmp_path / "in", STEPS))
    status, file = (tmp_path / "in/1.txt").stat(), tmp_path / "in/1.txt"
    file.write_bytes(b"CAPTION")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(StateError, match="has changed"):
        run_here(make_plan(tmp_path / "run", tmp_path / "in", STEPS))


def test_a_copy_with_its_time_is_the_same_and_is_read_once(path: Path, tmp_path: Path) -> None:
    run_here(make_plan(tmp_path / "run", path, STEPS))
    shutil.copy2(path, tmp_path / "copy")
    os.replace(tmp_path / "copy", path)
    before = contents(tmp_path / "run")
    said: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, Notice):
            said.append(event.text)

    for _ in range(2):
        assert run_here(make_plan(tmp_path / "run", path, STEPS), [hear]).tasks_run == 0
    (told,) = said
    assert re.match(r"1 inputs \(.*\) were touched", told)
    assert contents(tmp_path / "run") == before
