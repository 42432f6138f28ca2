"""`min: auto` of a rule is the number of the encoder that makes the similarity."""

import pytest

from tamis.pipeline.encoders.bounds import BOUNDS
from tamis.schemas.parse import parse_job
from tests.schemas.test_job import HEAD, wrong

AUTO = "{rules: {clip_similarity: {min: auto}}}"


def test_min_auto_is_the_number_of_the_jobs_encoder() -> None:
    for encoder, bound in BOUNDS.items():
        steps = f'{{embed: {{encoder: "{encoder}"}}}}, {AUTO}'
        rules = parse_job(f"{HEAD}steps: [{steps}]", "job").steps[-1]
        assert rules.bounds["clip_similarity"].least == bound


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (AUTO, "rules: clip_similarity: min: auto is for the similarity of an `embed` step"),
        (
            f"{{embed: {{encoder: precomputed}}}}, {AUTO}",
            (
                "the encoder `precomputed` has no bound of its own: write a number, or keep a share: "
                "`- score: {signal: clip_similarity, keep: 0.5}`"
            ),
        ),
    ],
)
def test_min_auto_without_a_bound_says_what_to_write(steps: str, message: str) -> None:
    assert message in wrong(f"{HEAD}steps: [{steps}]")
