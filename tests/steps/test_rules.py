"""Rules: what fails which bound, what the ledger says about it, and what has no value."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.steps.rules.bounds import failures
from tamis.pipeline.steps.rules.config import ABOVE_MAXIMUM, BELOW_MINIMUM, NOT_ALLOWED, Bound
from tamis.pipeline.steps.shared.config import NO_VALUE
from tamis.schemas.errors import JobError
from tests.support.running import Sample, ledger, make_plan, picture, read_tar, run_here, write_tar

NUMBERS = st.none() | st.floats(width=32) | st.integers(-4, 4).map(float)
EDGES = st.none() | st.integers(-4, 4).map(float)


@given(
    values=st.lists(NUMBERS),
    low=EDGES,
    high=EDGES,
    missing=st.sampled_from(["drop", "keep"]),
    kind=st.sampled_from([pa.float32(), pa.float64()]),
)
def test_bounds_are_inclusive_and_nan_is_no_value(
    values: list[float | None], low: float | None, high: float | None, missing: str, kind: Any
) -> None:
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    elif low is None:
        high = 0.0 if high is None else high
    bound = Bound.model_validate({"min": low, "max": high, "missing": missing})
    found = failures(pa.array(values, kind), bound)
    for i, value in enumerate(values):
        reasons = {reason for reason, mask in found.items() if mask[i]}
        if value is None or math.isnan(value):
            assert reasons == ({NO_VALUE} if missing == "drop" else set())
        elif low is not None and value < low:
            assert reasons == {BELOW_MINIMUM}
        elif high is not None and value > high:
            assert reasons == {ABOVE_MAXIMUM}
        else:
            assert reasons == set()


@pytest.mark.parametrize(
    ("values", "allowed", "passing"),
    [
        (["en", "fr", None, "EN"], ["en", "de"], [True, False, None, False]),
        ([1.0, 2.5, float("nan"), None], [1, 2.5], [True, True, None, None]),
        ([True, False, None], [True], [True, False, None]),
        ([True, False], ["true"], [True, False]),
        (["1", "1.0"], [1], [True, False]),
        ([7, 8], [8], [False, True]),
    ],
)
def test_a_list_compares_values_as_a_job_writes_them(
    values: list[Any], allowed: list[Any], passing: list[bool | None]
) -> None:
    found = failures(pa.array(values), Bound.model_validate({"in": allowed}))
    assert found[NOT_ALLOWED].tolist() == [each is False for each in passing]
    assert found[NO_VALUE].tolist() == [each is None for each in passing]


FIELDS: list[dict[str, Any]] = [
    {"tag": "good", "score": 5.0, "safe": True},
    {"tag": "good", "score": 1.0, "safe": True},  # below
    {"tag": "good", "score": 9.5, "safe": True},  # above
    {"tag": "bad", "score": 5.0, "safe": True},  # not in the list
    {"tag": "bad", "score": 9.5, "safe": False},  # everything
    {"tag": "good", "safe": True},  # no value
    {"tag": "good", "score": float("nan"), "safe": True},  # neither
    {"score": 0.5, "safe": False},  # no tag: missing is kept
]
STEPS = """
  - signals: [tag, score, safe]
  - rules:
      score: {min: 2, max: 9}
      tag: {in: [good, best], missing: keep}
      safe: {in: [true]}"""


def run_rules(tmp_path: Path, steps: str, fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    samples = [Sample(f"k{i}", picture(i), "text", each) for i, each in enumerate(fields)]
    if not (tmp_path / "a.tar").exists():
        write_tar(tmp_path / "a.tar", samples)
    run_here(make_plan(tmp_path / "run", tmp_path / "a.tar", steps, part_samples=3))
    return ledger(tmp_path / "run")


def test_all_failing_rules_are_told_and_the_first_is_the_reason(tmp_path: Path) -> None:
    rows = run_rules(tmp_path, STEPS, FIELDS)
    told = [(row["reason"], row["rule"], row["value"], row["bound"], row["failed"]) for row in rows]
    assert told == [
        (None, None, None, None, None),
        ("below_minimum", "score", 1.0, 2.0, ["score"]),
        ("above_maximum", "score", 9.5, 9.0, ["score"]),
        ("not_allowed", "tag", None, None, ["tag"]),
        ("above_maximum", "score", 9.5, 9.0, ["score", "tag", "safe"]),
        ("no_value", "score", None, None, ["score"]),
        ("no_value", "score", None, None, ["score"]),
        ("below_minimum", "score", 0.5, 2.0, ["score", "safe"]),
    ]
    assert rows[3]["message"] == "'bad' is not in ['good', 'best']"
    assert {row["step"] for row in rows[1:]} == {"rules"}
    assert [row["kept"] for row in rows] == [True] + [False] * 7


def test_another_order_of_the_rules_gives_another_reason(tmp_path: Path) -> None:
    run_rules(tmp_path, STEPS, FIELDS)
    other = STEPS.replace("      score: {min: 2, max: 9}\n", "") + "\n      score: {min: 2, max: 9}"
    rows = run_rules(tmp_path, other, FIELDS)  # the same directory: what is stored must not do
    assert (rows[4]["reason"], rows[4]["rule"]) == ("not_allowed", "tag")
    assert rows[4]["failed"] == ["tag", "safe", "score"]
    assert [row["kept"] for row in rows] == [True] + [False] * 7


def test_a_later_rule_sees_only_what_an_earlier_one_left(tmp_path: Path) -> None:
    steps = """
  - signals: [score]
  - rules: {name: low, score: {min: 2, missing: keep}}
  - rules: {name: high, score: {max: 9}}"""
    rows = run_rules(tmp_path, steps, FIELDS)
    assert [row["step"] for row in rows] == [
        None, "low", "high", None, "high", "high", "high", "low",
    ]  # fmt: skip


def test_rules_over_real_captions_against_the_raw_tar(
    clipart_example: Path, tmp_path: Path
) -> None:
    steps = """
  - signals: [words, aspect_ratio, min_side]
  - rules: {words: {min: 4, max: 12}, aspect_ratio: {max: 1.5}, min_side: {min: 100}}"""
    tar = clipart_example / "00002.tar"
    result = run_here(make_plan(tmp_path / "run", tar, steps, part_samples=60))
    expected = []
    for sample in read_tar(tar):
        width, height = (int.from_bytes(sample.image[i : i + 4], "big") for i in (16, 20))
        words = len(sample.text.split())
        failed = [
            name
            for name, fails in [
                ("words", not 4 <= words <= 12),
                ("aspect_ratio", max(width, height) / min(width, height) > 1.5),
                ("min_side", min(width, height) < 100),
            ]
            if fails
        ]
        expected.append(failed or None)
    rows = ledger(tmp_path / "run")
    assert [row["failed"] for row in rows] == expected
    assert {len(failed or []) for failed in expected} >= {0, 1, 2}
    dropped = sum(result.accounts[-1].dropped.values())
    assert dropped == sum(failed is not None for failed in expected)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("  - signals: [words]\n  - rules: {words: {min: 5, max: 4}}", "min 5 is above max 4"),
        ("  - signals: [words]\n  - rules: {word: {min: 5}}", "rules: no signal `word` .*`words`"),
        ("  - rules: {words: {min: 5}}\n  - signals: [words]", "no signal `words` at this point"),
        ("  - rules: {words: {min: 5}}", r"at this point: put a step above .*`signals: \[words\]`"),
        ("  - signals: [tag]\n  - rules: {odd: {min: 5}}", "at this point; known: tag: put a step"),
        ("  - signals: [tag]\n  - rules: {tag: {min: 5}}", "rules: tag is text, .* with `in`"),
    ],
)
def test_rules_that_cannot_hold_are_refused_before_anything_runs(
    steps: str, message: str, tmp_path: Path
) -> None:
    tar = write_tar(tmp_path / "a.tar", [Sample("a", picture(1), "text", {"tag": "x"})])
    with pytest.raises(JobError, match=message):
        make_plan(tmp_path / "run", tar, steps)


def test_the_values_of_a_verdict_are_the_stored_ones(tmp_path: Path) -> None:
    given = pa.table({"text": ["t"] * 50, "p": np.linspace(0, 1, 50, dtype=np.float32)})
    pq.write_table(given, tmp_path / "a.parquet", row_group_size=7)
    steps = "  - signals: [p]\n  - rules: {p: {max: 0.5}}"
    run_here(make_plan(tmp_path / "run", tmp_path / "a.parquet", steps, part_samples=10))
    for row, p in zip(ledger(tmp_path / "run"), given["p"].to_pylist(), strict=True):
        assert row["value"] == (p if p > 0.5 else None)


def test_a_column_of_32_bits_is_compared_as_it_is(tmp_path: Path) -> None:
    """As float64 the score would be 0.25999999, and below the bound that it equals."""
    scores = pa.array([0.26, 0.27, 0.25], pa.float32())
    pq.write_table(pa.table({"text": ["a", "b", "c"], "score": scores}), tmp_path / "a.parquet")
    np.save(tmp_path / "a.npy", np.ones((3, 4), np.float16))
    entry = {"path": f"{tmp_path}/*.parquet", "image_embeddings": f"{tmp_path}/*.npy"}
    steps = "- signals: [score]\n- rules: {score: {min: 0.26}}"
    run_here(make_plan(tmp_path / "run", "", steps, input=[entry]))
    assert [row["kept"] for row in ledger(tmp_path / "run")] == [True, True, False]
