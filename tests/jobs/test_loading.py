"""Which job a command means: presets, where their data lie, and settings on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.jobs.cli.start import one_value_each
from tamis.jobs.job_files.load import Request, load, presets


@pytest.mark.parametrize("name", presets())
def test_presets_take_input_and_output(name: str, tmp_path: Path) -> None:
    made = load(Request(name, ["a.tar", "b.tar"], str(tmp_path), ["seed=3"], 2))
    assert made.input[0].path == ("a.tar", "b.tar")
    assert (made.output, made.seed, made.resources.cpus) == (str(tmp_path), 3, 2)
    assert made.name == name


def test_the_demo_finds_the_example_data_from_anywhere(
    tmp_path: Path, clipart_example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (path,) = load(Request("demo")).input[0].path
    assert Path(path).parent == clipart_example


def test_set_takes_several_values() -> None:
    assert one_value_each(["run", "x", "--set", "a=1", "b=2", "--json", "c=3"]) == [
        *["run", "x", "--set", "a=1", "--set", "b=2"],
        *["--json", "c=3"],
    ]
    assert one_value_each(["run", "--set", "a=1", "job.yaml", "--set", "b=2"]) == [
        *["run", "--set", "a=1", "job.yaml", "--set", "b=2"]
    ]
