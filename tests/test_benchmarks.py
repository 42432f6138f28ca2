"""What benchmarks share, and the one for GPUs, whose code runs without one; nothing here looks at a time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import _table
from tests.benchmarks._table import Row, faster, race


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


def test_the_script_for_gpus_runs_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from tests.benchmarks import gpu

    if torch.cuda.is_available():
        pytest.skip("there is one")
    gpu.main()
    assert capsys.readouterr().out == "no CUDA device: not measured\n"


def test_the_products_of_the_gpu_script_are_those_of_numpy() -> None:
    import torch

    from tests.benchmarks.gpu import assign, nearest

    rows = np.random.default_rng(1).standard_normal((70, 8), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    given = torch.from_numpy(rows)
    before = np.tril(rows @ rows.T, -1).max(axis=1)
    np.testing.assert_allclose(nearest(given, 16).numpy(), np.maximum(before, 0), atol=1e-6)
    assert assign(given, given[:9], 16).tolist() == (rows @ rows[:9].T).argmax(axis=1).tolist()
