"""A tenth that is chosen for a target serves the target's kind better than a random tenth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.evaluate.evaluation import Request, evaluate
from tamis.pipeline.evaluate.sources import HeldOut
from tamis.schemas.errors import JobError
from tests.support.embedded import unit
from tests.support.running import make_plan, run_here
from tests.support.synthetic import DIM, HIDDEN, captions, write_input

POOL, SEEN, TESTED, KINDS = 2_000, 60, 200, 10

EMBED = "- embed: {encoder: precomputed}\n"

Views = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def of_kind(kind: int, count: int, seed: int) -> Views:
    """Pictures and captions of one kind, (count, DIM) each: what they have in common is seen in its own way.

    Were it the same for all kinds, the most varied pairs would teach it best, and no target would pay.
    """
    fixed, draw = np.random.default_rng(kind), np.random.default_rng(seed)
    meaning = draw.normal(size=(count, HIDDEN))
    made = []
    for _ in range(2):
        centre = 2.0 * fixed.normal(size=DIM)
        view = centre + meaning @ fixed.normal(size=(HIDDEN, DIM)) / HIDDEN**0.5
        made.append(unit(view + 0.2 * draw.normal(size=view.shape)))
    return made[0], made[1]


def run_of(folder: Path, name: str, views: Views, first: int, steps: str = "") -> Path:
    """A finished run over these pairs, with captions that no other run has."""
    texts = captions(first + len(views[0]))[first:].tolist()
    entry = write_input(folder / f"{name}-in", *views, texts)
    run_here(make_plan(folder / name, "", f"{EMBED}{steps}", input=[entry], name=name))
    return folder / name


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["measure: nearest", "measure: moment", "side: text"])
def test_at_a_tenth_it_is_ahead_of_random(tmp_path: Path, settings: str) -> None:
    every = [of_kind(kind, POOL // KINDS, 100 + kind) for kind in range(KINDS)]
    mixed = (
        np.concatenate([image for image, _ in every]),
        np.concatenate([text for _, text in every]),
    )
    known = run_of(tmp_path, "known", of_kind(3, SEEN, 1), 10_000)
    held = run_of(tmp_path, "held", of_kind(3, TESTED, 2), 20_000)
    step = f"- target: {{path: {known}, keep: 0.1, {settings}}}\n"
    run = open_run(str(run_of(tmp_path, "pool", mixed, 0, step)))
    asked = Request(HeldOut((str(held),)), ["target"], [0.1], seeds=8, steps=(100,))
    (point,) = evaluate(run, asked).line("target")
    against = point.headline.against_random
    assert against is not None
    assert against.p is not None
    assert against.difference > 0.02
    assert against.p < 0.01


def test_several_steps_of_a_kind_are_compared_by_their_names(tmp_path: Path) -> None:
    known = run_of(tmp_path, "known", of_kind(1, 40, 6), 10_000)
    steps = (
        f"- target: {{name: pictures, path: {known}, keep: 1.0}}\n"
        f"- target: {{name: captions, path: {known}, side: text, keep: 1.0}}\n"
    )
    run = open_run(str(run_of(tmp_path, "pool", of_kind(1, 300, 5), 0, steps)))
    names = ["pictures", "captions", "target"]
    found = evaluate(run, Request(HeldOut(), names, [0.2], seeds=2, steps=(5,)))
    values = {name: found.line(name)[0].headline.values for name in names}
    assert values["pictures"] == values["target"] != values["captions"]
    with pytest.raises(JobError, match=r"no such selector.*`pictures`"):
        evaluate(run, Request(HeldOut(), ["picture"], [0.2], seeds=2, steps=(5,)))
