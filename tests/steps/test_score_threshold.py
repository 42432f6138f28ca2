"""A threshold of `score` that is found over the whole input: DataComp's place, by its definition."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipeline.algorithms.choosing.score import cut_position
from tamis.schemas.errors import JobError, StateError
from tests.support.embedded import numbered, run_one
from tests.support.running import ledger

SCORES = [0.5, 0.9, 0.1, 0.5, 0.5, 0.7, 0.5, 0.3]
SIGNAL = "- signals: [quality]\n- score: {signal: quality, "


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        # The input's values are .9 .7 .5 .5 .5 .5 .3, and a missing one; 1, 3 and 5 are dropped before the step.
        ("{share: 0.1}", []),  # .9
        ("{share: 0.125}", []),  # .7
        ("{share: 0.25}", [0, 4, 6]),  # the first half, and its equals
        ("{share: 0.7, over: input}", [0, 4, 6]),
        ("{share: 0.75}", [0, 4, 6, 7]),
        ("{share: 1.0}", [0, 4, 6, 7]),  # the place has no value: all that have one
    ],
)
def test_a_threshold_is_found_over_the_whole_input(
    tmp_path: Path, threshold: str, expected: list[int]
) -> None:
    scores = [None if score == 0.1 else score for score in SCORES]
    words = [9, 0, 9, 0, 9, 0, 9, 9]
    made = numbered(8, quality=scores, size=words)
    steps = "- signals: [quality, size]\n- rules: {size: {min: 1}}\n- score: {signal: quality, threshold: "
    steps += f"{threshold}}}"
    if not expected:
        with pytest.raises(StateError, match="drops all 5 samples"):
            run_one(tmp_path, made, steps, part_samples=3)
        return
    assert run_one(tmp_path, made, steps, part_samples=3) == expected
    told = {int(row["uid"], 16): row["reason"] for row in ledger(tmp_path / "run")}
    assert told[2] == "no_value"
    assert told[1] == told[3] == told[5] == "below_minimum"


@given(
    st.lists(st.none() | st.integers(0, 5).map(float), min_size=1, max_size=40),
    st.floats(0, 1, exclude_min=True),
)
def test_the_place_of_a_threshold_is_datacomps(scores: list[float | None], share: float) -> None:
    n = len(scores)
    values = np.sort([-np.inf if score is None else score for score in scores])[::-1]
    place = min(int(n * share), n - 1)
    valued = [score for score in scores if score is not None]
    wanted = min(cut_position(n, share) + 1, len(valued))
    passing = [score for score in valued if wanted and score >= sorted(valued)[-wanted]]
    assert passing == [score for score in valued if score >= values[place]]


def test_a_threshold_needs_the_values_of_what_was_dropped(tmp_path: Path) -> None:
    made = numbered(4, quality=[0.1, 0.2, 0.3, 0.4])
    late = "- signals: [words]\n- rules: {words: {min: 1}}\n- signals: {name: more, names: [quality]}\n"
    score = "- score: {signal: quality, threshold: {share: 0.5}}"
    mend = re.escape(
        "`more` makes quality only for what `rules` has left: move `more` above `rules`, or take a column"
    )
    with pytest.raises(JobError, match=mend):
        run_one(tmp_path, made, late + score)
    for wrong in ("", ", keep: 2, threshold: {share: 0.5}"):
        with pytest.raises(JobError, match="needs `keep` or `threshold`, and not both"):
            run_one(tmp_path, made, f"- signals: [quality]\n- score: {{signal: quality{wrong}}}")
    with pytest.raises(JobError, match="`of` and `ties` belong to `keep`"):
        run_one(tmp_path, made, SIGNAL + "of: input, threshold: {share: 0.5}}")
