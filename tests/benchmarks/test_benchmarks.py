"""What benchmarks share, and the one for GPUs, whose code runs without one; nothing here looks at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.benchmarks import _table
from tests.benchmarks._table import Row, faster, race
from tests.conftest import ROOT


def test_works_take_turns_and_each_is_first_once() -> None:
    order: list[str] = []
    works = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = race(works, 3)
    assert "".join(order) == "abcbcacab"
    assert {name: len(found) for name, found in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    row = faster("x", "y", 100, "/s", [1.0, 2.0, 4.0], [2.0, 2.0, 2.0])
    assert (row.ours, row.theirs, row.ratio, row.low, row.high) == (50.0, 50.0, 1.0, 0.5, 2.0)


def test_tables_are_kept_and_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(_table.FOLDER, str(tmp_path / "kept"))
    _table.show("first", [Row("a", "b", 2.0, 1.0, "/s", 2.0, 1.9, 2.1, ">= 1")])
    _table.show("second", [Row("c", "", 3.0, None, "s", None)])
    monkeypatch.setattr(sys, "argv", ["_table.py", str(tmp_path / "kept")])
    capsys.readouterr()
    _table.main()
    said = capsys.readouterr().out
    assert "first" in said
    assert "1.90-2.10" in said
    whole = json.loads((tmp_path / "kept" / _table.ALL).read_text())
    assert [table["title"] for table in whole["tables"]] == ["first", "second"]
    assert whole["machine"]["cores"] >= 1
    page = (tmp_path / "kept" / _table.PAGE).read_text()
    assert "| a / b | 2 | 1 | /s | 2 | 1.90-2.10 | >= 1 |" in page
    assert page.index("## First") < page.index("## Second")


def _listed() -> Iterator[str]:
    """The modules of the packages that the script's first lines install, and of what those need."""
    text = (ROOT / "tests" / "benchmarks" / "gpu.py").read_text()
    asked = text.partition("pip install ")[2].partition("\n")[0].split()
    needed = {canonicalize_name(name) for name in asked}
    while asked:
        for line in requires(asked.pop()) or ():
            need = Requirement(line)
            name = canonicalize_name(need.name)
            if name not in needed and (not need.marker or need.marker.evaluate({"extra": ""})):
                needed.add(name)
                asked.append(name)
    for module, made_by in packages_distributions().items():
        if needed & {canonicalize_name(name) for name in made_by}:
            yield module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("precision", ["--pictures", "4", "--encoders", "demo", "ViT-S-32-alt"]),
        ("read", ["--megabytes", "1", "--rounds", "1"]),
    ],
)
def test_a_script_runs_alone_and_keeps_its_rows(
    script: str, options: list[str], tmp_path: Path
) -> None:
    """In a process of its own: nobody else has imported what it needs."""
    command = [sys.executable, str(ROOT / "tests" / "benchmarks" / f"{script}.py"), *options]
    surroundings = os.environ | {"PYTHONPATH": str(ROOT), _table.FOLDER: str(tmp_path)}
    ended = subprocess.run(
        command, env=surroundings, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / f"{script}-0.json").read_text())["rows"]


@pytest.mark.slow
def test_the_script_for_gpus_runs_without_one_and_without_what_it_does_not_list() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    ours = {"tamis"}
    others = sorted(set(packages_distributions()) - set(_listed()) - ours)
    assert {"ray", "typer", "webdataset"} <= set(others)
    gone = f"import sys; sys.modules |= dict.fromkeys({others}); "
    script = f"{gone}from tests.benchmarks import gpu; gpu.main()"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert said.stdout == "no CUDA device: not measured\n"


def test_the_gpu_script_says_how_far_results_lie_apart() -> None:
    from tests.benchmarks.gpu import differences, unit

    rows = unit(500, 24)
    found = {row.what: row.ours for row in differences("cpu", rows.astype(np.float16), rows[:9])}
    assert found["cosines of equal labels with other bits"] == 0
    assert max(value or 0 for value in found.values()) < 1e-6
