"""The step `tiers`: which range a value lies in, and what follows of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.schemas.errors import JobError
from tests.support.embedded import numbered, run_one
from tests.support.running import ledger, make_plan, run_here

SCORES = [0.1, 0.2, 0.25, 0.3, float("inf"), None, float("nan"), float("-inf")]
TIERS = (
    "- signals: [score]\n- tiers: {signal: score, cuts: [0.2, 0.3], names: [noisy, middle, clean]}"
)


def test_a_value_at_a_cut_belongs_to_the_tier_above(tmp_path: Path) -> None:
    run_one(tmp_path, numbered(8, score=SCORES), TIERS, part_samples=3)
    tiers = {int(row["uid"], 16): row["tiers"] for row in ledger(tmp_path / "run")}
    expected = ["noisy", "middle", "middle", "clean", "clean", None, None, "noisy"]
    assert [tiers[n] for n in range(8)] == expected


def test_a_column_of_32_bits_is_divided_as_it_is(tmp_path: Path) -> None:
    scores = pa.array([0.26, 0.25], pa.float32())
    pq.write_table(pa.table({"text": ["a", "b"], "score": scores}), tmp_path / "a.parquet")
    np.save(tmp_path / "a.npy", np.ones((2, 4), np.float16))
    entry = {"path": f"{tmp_path}/*.parquet", "image_embeddings": f"{tmp_path}/*.npy"}
    steps = "- signals: [score]\n- tiers: {signal: score, cuts: [0.26], names: [low, high]}"
    run_here(make_plan(tmp_path / "run", "", steps, input=[entry]))
    assert [row["tiers"] for row in ledger(tmp_path / "run")] == ["high", "low"]


def test_rules_can_name_a_tier_and_scores_cannot(tmp_path: Path) -> None:
    made = numbered(8, score=SCORES)
    steps = f"{TIERS}\n- rules: {{tiers: {{in: [middle, clean]}}}}"
    assert run_one(tmp_path, made, steps) == [1, 2, 3, 4]
    for step in (
        "score: {signal: tiers, keep: 1}",
        "tiers: {name: b, signal: tiers, cuts: [1], names: [a, b]}",
    ):
        with pytest.raises(JobError, match="tiers is text"):
            run_one(tmp_path, made, f"{TIERS}\n- {step}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("cuts: [1, 2], names: [a, b]", "2 cuts make 3 tiers, and there are 2 names"),
        ("cuts: [2, 1], names: [a, b, c]", "give them ascending"),
        ("cuts: [1], names: [a, a]", "give each tier a name of its own"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, settings: str, message: str) -> None:
    with pytest.raises(JobError, match=re.escape(message)):
        run_one(
            tmp_path,
            numbered(2, score=[0.0, 1.0]),
            f"- signals: [score]\n- tiers: {{signal: score, {settings}}}",
        )


def test_other_cuts_are_tried_on_what_is_stored(tmp_path: Path) -> None:
    steps = f"{TIERS}\n- rules: {{tiers: {{in: [middle, clean]}}}}\n- write"
    run_one(tmp_path, numbered(8, score=SCORES), steps)
    change = whatif(open_run(str(tmp_path / "run")), ["tiers.cuts.0=0.05"])
    assert (change.kept_before, change.kept_after) == (4, 5)
