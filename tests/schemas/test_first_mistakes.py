"""Mistakes that a job's first writer makes are one line with the mend, or are understood."""

from __future__ import annotations

import pytest

from tamis.schemas.errors import JobError
from tamis.schemas.parse import parse_job

STEPS = "steps: [write]"


@pytest.mark.parametrize("blanks", ["", "  "])
def test_a_tab_is_named_with_its_line(blanks: str) -> None:
    text = f"name: x\ninput:\n{blanks}\t- path: photos\noutput: o\n{STEPS}"
    with pytest.raises(JobError, match="line 3 begins with a tab: write blanks in its place"):
        parse_job(text, "job.yaml")


def test_an_entry_needs_no_list() -> None:
    job = parse_job(f"name: x\ninput: {{path: photos, captions: none}}\noutput: o\n{STEPS}", "job")
    assert [(entry.path, entry.captions) for entry in job.input] == [(("photos",), "none")]


@pytest.mark.parametrize(("bound", "said"), [("28", "0.28"), ("1.5", "0.015")])
def test_a_percentage_for_a_cosine_is_refused(bound: str, said: str) -> None:
    steps = f"[embed: {{encoder: demo}}, rules: {{clip_similarity: {{min: {bound}}}}}, write]"
    with pytest.raises(JobError, match=f"min {bound} keeps nothing.*such as {said}, or keep a"):
        parse_job(f"name: x\ninput: x.tar\noutput: o\nsteps: {steps}", "job")


def test_a_signal_of_the_input_may_have_any_scale() -> None:
    steps = "[rules: {clip_similarity: {min: 28}}, write]"
    (rules, _) = parse_job(f"name: x\ninput: x.tar\noutput: o\nsteps: {steps}", "job").steps
    assert rules.bounds["clip_similarity"].least == 28
