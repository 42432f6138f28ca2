"""The target of a run is never its test: neither its samples nor what is akin to them, whatever it is given as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.audit.reading.verdict import verdict
from tamis.pipeline.evaluate.evaluation import Request, evaluate
from tamis.pipeline.evaluate.holdout import EPSILON
from tamis.pipeline.evaluate.sources import Division, HeldOut, held_out
from tamis.schemas.errors import JobError
from tests.support.running import make_plan, run_here
from tests.support.synthetic import captions, meanings, views, write_input

POOL, SHARED = 400, 60
EMBED = "- embed: {encoder: precomputed}\n"


class Given:
    """A pool, and a target whose first ``SHARED`` pairs are the pool's first, some changed a little."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image, self.text = views(meanings(POOL))
        self.captions = captions(POOL)
        other_image, other_text = views(meanings(100, seed=5), seed=6)
        self.target = np.concatenate([self.image[:SHARED], other_image])
        self.target_text = np.concatenate([self.text[:SHARED], other_text])
        # A third is akin by its picture alone, a third by a caption of one letter more, a third by both.
        texts = [*self.captions[:SHARED], *captions(POOL + 100)[POOL:]]
        texts[:20] = captions(POOL + 200)[-20:]
        texts[20:40] = [f"{text} x" for text in texts[20:40]]
        self.target[20:40] = other_image[:20]
        self.target_captions = [str(text) for text in texts]

    def known(self) -> Path:
        entry = write_input(
            self.folder / "known-in", self.target, self.target_text, self.target_captions
        )
        run_here(make_plan(self.folder / "known", "", EMBED, input=[entry], name="known"))
        return self.folder / "known"

    def run(self, step: str) -> FinishedRun:
        entry = write_input(
            self.folder / "in", self.image, self.text, [str(text) for text in self.captions]
        )
        steps = EMBED + step
        run_here(make_plan(self.folder / "run", "", steps, input=[entry], name="pool"))
        return open_run(str(self.folder / "run"))


def held(run: FinishedRun, *places: str) -> Division:
    return held_out(run, HeldOut(places or ("0.5",)), [], None, range(3))


def texts_of(found: Division) -> set[str]:
    rows = np.concatenate([rows for held in found.holdouts for rows in held.tested.values()])
    return {str(text) for text in found.pairs.text[rows]}


@pytest.fixture
def given(tmp_path: Path) -> Given:
    return Given(tmp_path)


def test_pairs_of_a_target_run_are_not_tested(given: Given) -> None:
    run = given.run(f"- target: {{path: {given.known()}, keep: 100}}\n")
    found = held(run)
    shared = {str(text) for text in given.captions[:SHARED]}
    assert not texts_of(found) & shared
    assert len(texts_of(found)) > 200
    pooled = {str(text) for one in found.holdouts for text in found.pairs.text[one.pool]}
    assert len(pooled & shared) == SHARED  # they may be chosen
    assert any(f"{SHARED} pairs are a target's or akin to one" in note for note in found.notes)


def test_without_a_target_they_are(given: Given) -> None:
    found = held(given.run("- random: {keep: 100}\n"))
    assert texts_of(found) & {str(text) for text in given.captions[:SHARED]}
    assert not found.notes


def test_vectors_within_epsilon_are_not_tested(given: Given, tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", given.target)
    found = held(given.run(f"- target: {{path: {tmp_path}/t.npy, keep: 100}}\n"))
    cosine = (given.image @ given.target.T).max(axis=1)
    near = {str(text) for text in given.captions[cosine > 1 - EPSILON]}
    assert len(near) >= 40
    assert not texts_of(found) & near


@pytest.mark.parametrize(
    "step", ["target: {path: PATH, side: text, ", "importance: {target: PATH, "]
)
def test_captions_are_not_tested(given: Given, tmp_path: Path, step: str) -> None:
    (tmp_path / "t.txt").write_text("\n".join(given.target_captions))
    run = _of_captions(given, step.replace("PATH", f"{tmp_path}/t.txt"), tmp_path)
    shared = {str(text) for text in given.captions[20:SHARED]}
    assert not texts_of(held(run)) & shared
    assert texts_of(held(run)) & {str(text) for text in given.captions[:20]}


def _of_captions(given: Given, step: str, folder: Path) -> FinishedRun:
    """A run whose target is captions: `target` takes their vectors here, which says where they came from."""
    if step.startswith("importance"):
        return given.run(f"- {step}keep: 100}}\n")
    np.save(folder / "vectors.npy", given.target_text[20:])
    step = step.replace("t.txt", "vectors.npy")
    return given.run(f"- {step}keep: 100}}\n")


def test_a_holdout_that_is_the_target_is_refused(given: Given) -> None:
    known = given.known()
    run = given.run(f"- target: {{path: {known}, keep: 100}}\n")
    with pytest.raises(JobError, match="all 160 pairs of known are of a target that the run has"):
        held(run, str(known))


def test_a_trusted_run_is_a_target_too(given: Given) -> None:
    step = f"- difficulty: {{measure: learnability, trusted: {given.known()}, runs: 1, steps: 2}}\n"
    assert not texts_of(held(given.run(step))) & {str(text) for text in given.captions[:SHARED]}


def test_a_target_that_is_gone_is_told(given: Given, tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", given.target)
    run = given.run(f"- target: {{path: {tmp_path}/t.npy, keep: 100}}\n")
    (tmp_path / "t.npy").unlink()
    asked: dict[str, Any] = {"against": ["target"], "budgets": [0.3], "seeds": 2, "steps": (5,)}
    notes = evaluate(run, Request(HeldOut(("0.5",)), **asked)).notes
    assert any("t.npy is no longer there: test pairs may be of it" in note for note in notes)


def test_a_known_target_is_trained_with_and_not_tested(given: Given) -> None:
    """Rows for the target alone and with each choice, compared with the target and as many random pairs."""
    run, known = given.run("- random: {keep: 100}\n"), str(given.known())
    asked = Request(
        HeldOut(("0.5",)), ["score"], [0.2], seeds=3, steps=(60,), target=known, threads=2
    )
    found = evaluate(run, asked)
    names = ["density", "random", "score"]
    assert found.selectors == [*names, "target alone", *(f"target + {name}" for name in names)]
    (alone,) = found.line("target alone")
    assert (alone.budget, set(alone.pairs)) == (0.0, {160})
    assert alone.headline.against_random is None
    (own,), (both,) = found.line("score"), found.line("target + score")
    assert [n - 160 for n in both.pairs] == list(own.pairs)
    assert both.headline.values != own.headline.values
    (base,) = found.line("target + random")
    assert both.headline.against_random is not None
    difference = both.headline.mean - base.headline.mean
    assert both.headline.against_random.difference == pytest.approx(difference)
    shared = {str(text) for text in given.captions[:SHARED]}
    division = held_out(run, asked.held_out, [], None, range(3), known)
    assert not texts_of(division) & shared
    assert "target + random" in verdict(found, "target + score")
    assert "target alone" in verdict(found, "target + score")


def test_a_target_too_small_to_train_on_is_refused(given: Given) -> None:
    run = given.run("- random: {keep: 10}\n")
    with pytest.raises(JobError, match="10 pairs, and at least 16 are needed to train on"):
        evaluate(run, Request(HeldOut(), ["score"], [0.2], seeds=2, target=run.root))
