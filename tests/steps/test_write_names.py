"""Signals that are called as a column of img2dataset: each is written, beside that column."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.running import Sample, make_plan, picture, run_here, write_tar

STEPS = "- signals: [words, NAME]\n- rules: {words: {min: 1}}\n- write: {json: signals}"

OWN: dict[str, list[Any]] = {
    "width": [800, 0, 8],
    "height": [600, None, 8],
    "original_width": [4000, 8, 1],
    "original_height": [3000, 8, 1],
    "status": ["success", "failed", None],
    "error_message": [None, "HTTP 404", "x"],
    "exif": ["{}", "{}", '{"a": 1}'],
}
"""Values that the json members have under such a name."""


@pytest.mark.parametrize("name", OWN)
def test_a_signal_of_the_input_under_such_a_name(name: str, tmp_path: Path) -> None:
    samples = [
        Sample(f"k{i}", picture(i, 8 + i, 9), "two words", {name: value})
        for i, value in enumerate(OWN[name])
    ]
    write_tar(tmp_path / "0.tar", samples)
    run_here(make_plan(tmp_path / "run", tmp_path / "0.tar", STEPS.replace("NAME", name)))
    found = pq.read_table(tmp_path / "run/shards/00000.parquet")
    assert len(set(found.column_names)) == found.num_columns
    assert found[name].to_pylist() == OWN[name]  # a column of the input keeps its name
    sizes = {"width": [8, 9, 10], "height": [9, 9, 9]}
    sizes |= {f"original_{side}": values for side, values in sizes.items()}
    if name in sizes:
        assert found[f"tamis_{name}"].to_pylist() == sizes[name]
    signal = sizes[name] if name in {"width", "height"} else OWN[name]
    assert found[f"signal_{name}"].to_pylist() == signal


@pytest.mark.parametrize("name", ["width", "height"])
def test_the_size_of_pictures_as_a_signal(name: str, tmp_path: Path) -> None:
    samples = [Sample(f"k{i}", picture(i, 8 + i, 20 - i), "two words", {}) for i in range(3)]
    write_tar(tmp_path / "0.tar", samples)
    run_here(make_plan(tmp_path / "run", tmp_path / "0.tar", STEPS.replace("NAME", name)))
    due = [8, 9, 10] if name == "width" else [20, 19, 18]
    found = pq.read_table(tmp_path / "run/shards/00000.parquet")
    assert found[name].to_pylist() == found[f"signal_{name}"].to_pylist() == due
    with tarfile.open(tmp_path / "run/shards/00000.tar") as tar:
        members = [tar.extractfile(one) for one in tar if one.name.endswith(".json")]
        fields = [json.loads(one.read()) for one in members if one is not None]
    assert [one[f"signal_{name}"] for one in fields] == due
