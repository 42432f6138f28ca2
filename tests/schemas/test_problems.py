"""What is said of a setting that has one of several forms: the problem of the form that was meant."""

from __future__ import annotations

import pytest

from tamis.schemas.errors import JobError
from tamis.schemas.parse import parse_job

HEAD = "name: a\ninput: [{path: x}]\noutput: o\n"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            "{quotas: {by: a, weights: {mean: q, lest: 1}}}",
            "quotas.weights: unknown key `lest`; did you mean `least`?",
        ),
        (
            "{quotas: {by: a, weights: {mean: q, least: .nan}}}",
            "quotas.weights.least: wanted a finite number, got nan",
        ),
        ("{quotas: {by: a, weights: {least: 1}}}", "quotas.weights: `mean` is missing"),
        (
            "{quotas: {by: a, weights: {fil: 1}}}",
            "quotas.weights: unknown key `fil`; did you mean `file`?",
        ),
        (
            "{semantic_duplicates: {which_to_keep: {sgnal: blur}}}",
            "semantic_duplicates.which_to_keep: unknown key `sgnal`; did you mean `signal`?",
        ),
        (
            "{difficulty: {references: 1}}",
            "difficulty.references: wanted a number of at least 2 or text, got 1",
        ),
    ],
)
def test_the_form_that_was_meant(step: str, message: str) -> None:
    with pytest.raises(JobError) as raised:
        parse_job(f"{HEAD}steps: [{step}]", "job.yaml")
    assert str(raised.value) == f"job.yaml: {message}"
