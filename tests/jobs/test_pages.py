"""A page takes the place of a page, and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tamis.jobs.cli.app import main
from tests.support.embedded import blobs, run_steps, write_input
from tests.support.running import contents

STEPS = "- semantic_duplicates: {clusters: 2, epsilon: 0.5}\n- write"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    entry = write_input(folder / "in", blobs([9, 9], [0.1, 0.1], dim=4), 1)
    run_steps(folder / "run", [entry], STEPS)
    np.save(folder / "vector.npy", np.ones(4))
    return folder / "run"


def ended(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def commands(run: Path, page: Path) -> dict[str, Sequence[object]]:
    return {
        "report": ["report", run, "--output", page],
        "explain": ["explain", run, "0", "--html", page],
        "audit": ["audit", run, "--edges", "semantic_duplicates", "--html", page],
        "search": ["search", run, "--vector", run.parent / "vector.npy", "--html", page],
    }


@pytest.mark.parametrize("command", ["report", "explain", "audit", "search"])
def test_no_file_of_a_run_is_lost_to_a_page(
    command: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run.parent)
    for name in before:
        if not name.endswith(".html"):
            assert ended(*commands(run, run.parent / name)[command]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.endswith("is no page, and would be lost: name another file")
    assert contents(run.parent) == before
    page = tmp_path / "new.html"
    for _ in range(2):
        assert ended(*commands(run, page)[command]) == 0
    assert page.read_bytes().startswith(b"<!doctype html>")
    page.write_bytes(b"")
    assert ended(*commands(run, page)[command]) == 0
    assert page.read_bytes().startswith(b"<!doctype html>")
