"""The browser's thresholds: what they count, against runs with those settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tamis.jobs.commands.explain import in_words
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.schemas.errors import InputError
from tests.support.running import ledger, make_plan, run_here


def test_a_moved_rule_counts_as_the_step_would(embedded: Any) -> None:
    root = embedded()
    browser = Browser(open_run(str(root)), in_words)
    rows = ledger(root)
    values = [row["clip_similarity"] for row in rows]
    for bound in (0.7, 0.82, 0.87, 0.95):
        passing = [value is not None and value >= bound for value in values]
        with browser.cursor() as cursor:
            found = browser.thresholds.moved(cursor, "similarity", "clip_similarity", "min", bound)
        assert found["reaching"] == len(rows)
        assert found["passing"] == sum(passing)
        assert found["kept"] == sum(p and r["kept"] for p, r in zip(passing, rows, strict=True))
        assert (found["passing"] == found["passing_now"]) == (bound == 0.82)


@pytest.mark.parametrize("epsilon", [0.002, 0.05])
def test_a_moved_epsilon_is_what_a_run_with_it_does(embedded: Any, epsilon: float) -> None:
    browser = Browser(open_run(str(embedded())), in_words)
    other = open_run(str(embedded(epsilon=epsilon)))
    (step,) = [step for step in other.manifest.steps if step.step == "semantic_duplicates"]
    where = ("semantic_duplicates", "semantic_similarity", "max", epsilon)
    with browser.cursor() as cursor:
        found = browser.thresholds.moved(cursor, *where)
    assert (found["reaching"], found["passing"]) == (step.entered, step.kept)
    assert found["passing"] != found["passing_now"]


def test_each_of_two_semantic_steps_is_asked_by_its_own_signal(
    embedded: Any, tmp_path: Path
) -> None:
    steps = """
  - embed: {encoder: precomputed}
  - semantic_duplicates: {clusters: 8, epsilon: 0.002}
  - semantic_duplicates: {name: again, clusters: 8, epsilon: 0.05}
"""
    inputs = [{"path": f"{embedded().parent}/*.parquet", "features": True}]
    run_here(make_plan(tmp_path / "run", "", steps, input=inputs, part_samples=50))
    browser = Browser(open_run(str(tmp_path / "run")), in_words)
    listed = browser.overview["thresholds"]
    assert [one["signal"] for one in listed] == ["semantic_similarity", "again_similarity"]
    with browser.cursor() as cursor:
        found = browser.thresholds.moved(cursor, "again", "again_similarity", "max", 0.05)
    assert found["reaching"] > found["passing"] == found["passing_now"] > 0


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_moved_budget_is_what_a_run_with_it_keeps(embedded: Any, keep: float) -> None:
    root, other = embedded(), embedded(keep=keep)
    browser = Browser(open_run(str(root)), in_words)
    found = browser.thresholds.kept_with("density", keep)
    assert found["kept"] == open_run(str(other)).manifest.kept
    sides = zip(ledger(root), ledger(other), strict=True)
    assert found["moved"] == sum(a["kept"] != b["kept"] for a, b in sides)
    assert found["more" if keep > 0.5 else "fewer"] > 0


def test_a_budget_that_no_concept_can_meet_is_refused(embedded: Any, hostile: Path) -> None:
    concepts = Browser(open_run(str(embedded())), in_words)
    for keep, said in ((0.0, "a share in"), (1.5, "a share in"), (0.001, "the least that")):
        with pytest.raises(InputError, match=said):
            concepts.thresholds.kept_with("density", keep)
    with pytest.raises(InputError, match="no concepts"):
        Browser(open_run(str(hostile)), in_words).thresholds.kept_with("density", 0.5)


def test_a_job_s_own_values_move_nothing_and_the_ends_of_keep_can_be_met(embedded: Any) -> None:
    """Where ``keep`` is a share that is cut when divided or rounded, and where it is a count."""
    for keep in (0.5123456789, 61):
        browser = Browser(open_run(str(embedded(keep=keep))), in_words)
        listed = browser.overview["thresholds"]
        assert [one["kind"] for one in listed][-1] == ("count" if keep == 61 else "share")
        for one in listed:
            if one["signal"]:
                where = (one["step"], one["signal"], one["side"], one["value"])
                with browser.cursor() as cursor:
                    found = browser.thresholds.moved(cursor, *where)
                assert found["passing"] == found["passing_now"]
                continue
            assert browser.thresholds.kept_with(one["step"], one["value"])["moved"] == 0
            for end in (one["low"], one["high"]):
                browser.thresholds.kept_with(one["step"], end)
    with pytest.raises(InputError, match="a count of samples"):
        browser.thresholds.kept_with("density", 0.5)


def test_every_density_is_listed_and_only_the_last_step_decides_alone(
    embedded: Any, tmp_path: Path
) -> None:
    """Where a later step decides or must score first, the counts say so."""
    steps = """
  - embed: {encoder: precomputed}
  - density: {name: first, clusters: 8, keep: 0.7, neighbours: 3}
  - signals: [words]
  - density: {name: second, clusters: 4, keep: 0.6, neighbours: 2}
  - rules: {words: {min: 1}}
"""
    folder = embedded().parent
    inputs = [{"path": f"{folder}/*.parquet", "features": True}]
    run_here(make_plan(tmp_path / "run", "", steps, input=inputs, part_samples=50))
    browser = Browser(open_run(str(tmp_path / "run")), in_words)
    told = [(one["path"], one["last"], one["scoring"]) for one in browser.overview["thresholds"]]
    assert told == [
        ("first.keep", False, ["signals"]),
        ("second.keep", False, []),
        ("rules.words.min", True, []),
    ]
    found = browser.thresholds.kept_with("first", 0.8)
    assert found["unscored"] == found["kept"] - found["kept_now"] > 0
    assert browser.thresholds.kept_with("second", 0.8)["unscored"] == 0
