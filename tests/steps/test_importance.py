"""Importance resampling through its step: the paper's weights on captions of one word, and its targets."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.algorithms import order
from tamis.schemas.errors import InputError
from tests.support.embedded import numbered, numbers, run_one, run_steps, write_input
from tests.support.running import ledger


def test_importance_weights_are_the_papers(tmp_path: Path) -> None:
    texts = ["cat"] * 6 + ["dog"] * 6 + ["", "cat dog"]
    target = tmp_path / "target.txt"
    target.write_text("cat\nCAT\n\ncat\n")
    steps = f"- importance: {{target: {target}, keep: 6}}"
    made = numbered(14, text=texts)
    found = run_one(tmp_path, made, steps)
    # Of the raw n-grams 7 are cat, 7 are dog, and one is the pair; the empty caption was never alive.
    tiny = 1e-8
    cat = math.log(1 + tiny) - math.log(7 / 15 + tiny)
    dog = math.log(tiny) - math.log(7 / 15 + tiny)
    pair = math.log(tiny) - math.log(1 / 15 + tiny)
    rows = {int(row["uid"], 16): row for row in ledger(tmp_path / "run")}
    assert rows[12]["importance"] is None
    assert rows[12]["step"] == "ingest"
    for number, weight in [(0, cat), (5, cat), (6, dog), (11, dog), (13, cat + dog + pair)]:
        assert math.isclose(rows[number]["importance"], weight, rel_tol=1e-12)
    assert found == list(range(6))  # the noise of a Gumbel does not bridge 18 nats
    uid = np.array([[0, n] for n in range(14)], np.uint64)
    noise = -np.log(-np.log(order.uniform(order.hashed(uid, 42, "importance"))))
    assert math.isclose(rows[7]["value"], dog + noise[7], rel_tol=1e-12)
    assert math.isclose(rows[7]["bound"], min(cat + noise[n] for n in range(6)), rel_tol=1e-12)


def test_importance_reads_parquet_targets(tmp_path: Path) -> None:
    made = numbered(8, text=["red fox", "blue sky"] * 4)
    pq.write_table(pa.table({"TEXT": ["a blue sky", None]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"words": ["blue sky"], "text": ["red"]}), tmp_path / "b.parquet")
    steps = f"- importance: {{keep: 4, target: {tmp_path}/"
    assert run_one(tmp_path, made, steps + "a.parquet}") == [1, 3, 5, 7]
    assert run_one(tmp_path, made, steps + "b.parquet}") == [0, 2, 4, 6]
    assert run_one(tmp_path, made, steps + "b.parquet, column: words}") == [1, 3, 5, 7]
    with pytest.raises(InputError, match="has no column `nope`; it has words, text"):
        run_one(tmp_path, made, steps + "b.parquet, column: nope}")
    with pytest.raises(InputError, match="no file"):
        run_one(tmp_path, made, steps + "c.parquet}")
    (tmp_path / "d.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match="not UTF-8"):
        run_one(tmp_path, made, steps + "d.txt}")
    (tmp_path / "d.parquet").write_bytes(b"caption\n" * 10)
    with pytest.raises(InputError, match=r"d.parquet`: cannot be read as parquet \("):
        run_one(tmp_path, made, steps + "d.parquet}")
    (tmp_path / "e.txt").write_text("\n  \n")
    with pytest.raises(
        InputError, match=r"importance: the target `.*e.txt` has no words: give captions"
    ):
        run_one(tmp_path, made, steps + "e.txt}")


def test_a_moved_target_is_the_same_and_a_changed_one_is_not(tmp_path: Path) -> None:
    made = numbered(8, text=["red fox", "blue sky"] * 4)
    entry = write_input(tmp_path / "in", made)
    for name, text in [("a.txt", "red"), ("b.txt", "red"), ("c.txt", "sky")]:
        (tmp_path / name).write_text(text)
    ran = [
        run_steps(
            tmp_path / "run", [entry], f"- importance: {{keep: 4, target: {tmp_path / name}}}"
        ).tasks_run
        for name in ("a.txt", "b.txt", "c.txt")
    ]
    assert ran[1] == 0
    assert ran[2] > 0
    assert numbers(tmp_path / "run") == [1, 3, 5, 7]
