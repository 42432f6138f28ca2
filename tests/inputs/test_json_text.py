"""JSON of the input is read to a depth that all that types and writes it can go into."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tamis.pipeline.inputs.json_text import DEPTH, loaded
from tests.support.bad_inputs import members
from tests.support.running import make_plan, picture, run_here


def nested(depth: int) -> str:
    """An object with a number below lists, ``depth`` levels in all."""
    return f'{{"deep": {"[" * (depth - 1)}1{"]" * (depth - 1)}}}'


def test_the_deepest_values_that_are_read() -> None:
    assert loaded(nested(DEPTH)) == json.loads(nested(DEPTH))
    flat = json.dumps({"many": [{"a": []}] * 100, "text": "[" * 100})
    assert loaded(flat) == json.loads(flat)
    for depth in (DEPTH + 1, 500, 100_000):
        with pytest.raises(ValueError, match=f"nested too deep: {DEPTH} levels are the limit"):
            loaded(nested(depth))
    with pytest.raises(ValueError, match="Expecting"):
        loaded("[" * DEPTH)


def test_what_is_read_is_written_as_a_column_and_as_a_member(tmp_path: Path) -> None:
    named = [
        (f"k{depth}.{suffix}", data)
        for depth in (2, DEPTH, DEPTH + 1, 400)
        for suffix, data in (
            ("png", picture(depth % 200)),
            ("txt", b"two words"),
            ("json", nested(depth).encode()),
        )
    ]
    (tmp_path / "0.tar").write_bytes(members(*named))
    steps = "- signals: [words]\n- write: {json: signals}"
    run_here(make_plan(tmp_path / "run", tmp_path / "0.tar", steps))
    column = pq.read_table(tmp_path / "run/shards/00000.parquet")["deep"].to_pylist()
    assert [value is None for value in column] == [False, False, True, True]
    with tarfile.open(tmp_path / "run/shards/00000.tar") as written:
        files = [written.extractfile(one) for one in written if one.name.endswith(".json")]
        fields = [json.loads(file.read()) for file in files if file is not None]
    assert [len(one) > 1 for one in fields] == [True, True, False, False]  # with the signal
    assert [one["deep"] for one in fields] == [
        json.loads(nested(depth))["deep"] for depth in (2, DEPTH, DEPTH + 1, 400)
    ]
