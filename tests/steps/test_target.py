"""The step `target`: each kind of target and measure by brute force; the floor, the bound, what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.jobs.commands.explain import in_words
from tamis.jobs.terminal import display
from tamis.pipeline.algorithms import order
from tamis.pipeline.audit.again.thresholds import Thresholds
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.reading import sql
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.story.story import tell
from tamis.pipeline.encoders import load
from tamis.pipeline.steps.selectors.choice import Pool
from tamis.pipeline.steps.selectors.target.choice import Target as Choice
from tamis.pipeline.steps.selectors.target.config import Target as Config
from tamis.schemas import yaml12
from tamis.schemas.errors import InputError, JobError, StateError
from tests.support.embedded import blobs, by_uid, numbered, run_one, run_steps, unit, write_input
from tests.support.running import ledger, make_plan, run_here, write_tar
from tests.support.step_cases import captioned

ANGLES = [0, 90, 53.13, 180, 270, 45, 10, 80]
"""Degrees; the first three are the method's case (1,0), (0,1), (.6,.8)."""


def turned(angles: list[float]) -> np.ndarray:
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def circle() -> Any:
    return replace(numbered(len(ANGLES)), vectors=turned(ANGLES))


def saved(path: Path, rows: Any) -> Path:
    np.save(path, np.asarray(rows, np.float32))
    return path


def told(tmp_path: Path) -> dict[int, dict[str, Any]]:
    return {int(row["uid"], 16): row for row in ledger(tmp_path / "run")}


def test_nearest(tmp_path: Path) -> None:
    path = saved(tmp_path / "t.npy", [[0.8, 0.6], [0, 2]])
    found = run_one(tmp_path, circle(), f"- target: {{path: {path}, keep: 4}}", part_samples=3)
    rows = told(tmp_path)
    values = [rows[n]["target"] for n in range(len(ANGLES))]
    exact = (turned(ANGLES) @ np.array([[0.8, 0.6], [0, 1]]).T).max(axis=1)
    assert values == pytest.approx(exact, abs=1e-3)
    assert found == sorted(np.argsort(-exact)[:4].tolist()) == [1, 2, 5, 7]
    assert {(r["reason"], r["rule"], r["bound"]) for r in rows.values() if not r["kept"]} == {
        ("off_target", "target", min(values[n] for n in found))
    }
    assert rows[0]["message"] == "nearest of the target: row 0 of the target"
    assert rows[4]["value"] == values[4] < -0.5


def test_moment(tmp_path: Path) -> None:
    path = saved(tmp_path / "t.npy", [[0.8, 0.6], [0, 1]])
    steps = f"- target: {{path: {path}, measure: moment, keep: 3}}"
    found = run_one(tmp_path, circle(), steps, part_samples=3)
    rows = told(tmp_path)
    values = np.array([rows[n]["target"] for n in range(len(ANGLES))]) * np.sqrt(2)
    assert values[:3] == pytest.approx([0.8, 1.16619, 1.24964], abs=2e-3)
    assert found == sorted(np.argsort(-values)[:3].tolist())


@pytest.mark.parametrize("kind", ["npy", "run", "npz"])
def test_concepts_and_their_votes(tmp_path: Path, kind: str) -> None:
    made = replace(blobs((20, 20, 20), (0.2, 0.2, 0.2), dim=8, seed=3))
    entry = write_input(tmp_path / "in", made, 2)
    run_steps(tmp_path / "pool", [entry], "- density: {clusters: 3, neighbours: 2, keep: 1.0}")
    placed = by_uid(tmp_path / "pool")
    concept = np.array([placed[uid]["cluster"] for uid in made.uid])
    target = made.vectors[np.flatnonzero(concept != 1)[[0, 1, 2]]]
    rows = pq.read_table(tmp_path / "pool/tables/density/train/centroids.parquet")["centroid"]
    centroids = np.stack([np.frombuffer(row, "<f4") for row in rows.to_pylist()])
    given = tmp_path / "pool"
    if kind == "npy":
        given = saved(tmp_path / "c.npy", centroids)
    elif kind == "npz":
        np.savez(tmp_path / "c.npz", c=centroids)
        given = Path(f"{tmp_path}/c.npz#c")
    path = saved(tmp_path / "t.npy", target)
    steps = f"- target: {{path: {path}, measure: concepts, centroids: '{given}', least: 1}}"
    run_steps(tmp_path / "run", [entry], steps, part_samples=7)
    decided = by_uid(tmp_path / "run")
    wanted = set(concept[np.flatnonzero(concept != 1)[[0, 1, 2]]].tolist())
    for uid, number in zip(made.uid, concept.tolist(), strict=True):
        assert decided[uid]["kept"] == (number in wanted)
        if not decided[uid]["kept"]:
            assert decided[uid]["message"] == f"its concept is {number}"
            assert (decided[uid]["value"], decided[uid]["bound"]) == (0.0, 1.0)


def test_the_target_is_a_finished_run(tmp_path: Path) -> None:
    """What the run kept counts; its dropped samples do not."""
    made = blobs((30, 30), (0.6, 0.6), dim=8, seed=1, quality=[float(n % 3) for n in range(60)])
    entry = write_input(tmp_path / "in", made, 2)
    steps = "- signals: [quality]\n- rules: {quality: {min: 1}}"
    run_steps(tmp_path / "birds", [entry], steps, part_samples=7)
    whole = by_uid(tmp_path / "birds")
    target = [n for n, uid in enumerate(made.uid) if whole[uid]["kept"]]
    other = blobs((40,), (3.0,), dim=8, seed=2)
    pool = write_input(tmp_path / "pool", other)
    run_steps(tmp_path / "run", [pool], f"- target: {{path: {tmp_path}/birds, keep: 10}}")
    stored = unit(other.vectors.astype(np.float16).astype(np.float32))
    products = stored @ unit(made.vectors[target].astype(np.float16).astype(np.float32)).T
    decided = by_uid(tmp_path / "run")
    values = np.array([decided[uid]["target"] for uid in other.uid])
    assert values == pytest.approx(products.max(axis=1), abs=1e-5)
    for n, uid in enumerate(other.uid):
        row = decided[uid]
        if not row["kept"]:
            nearest = made.uid[target[int(products[n].argmax())]]
            assert row["message"] == f"nearest of the target: {nearest}"


def test_of_a_large_target_the_smallest_hashes_are_taken(tmp_path: Path) -> None:
    rows = turned([float(n) for n in range(0, 360, 10)])
    path = saved(tmp_path / "t.npy", rows)
    run_one(tmp_path, circle(), f"- target: {{path: {path}, keep: 4, most: 5}}")
    uid = np.array([[0, n] for n in range(36)], np.uint64)
    taken = np.sort(np.argsort(order.hashed(uid, 42, "target"))[:5])
    exact = (turned(ANGLES) @ rows[taken].T).max(axis=1)
    values = [told(tmp_path)[n]["target"] for n in range(len(ANGLES))]
    assert values == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("ending", ["txt", "parquet", "csv"])
def test_captions_are_embedded_by_the_jobs_encoder(tmp_path: Path, ending: str) -> None:
    samples = captioned().usual
    write_tar(tmp_path / "a.tar", samples)
    wanted = ["a red house by the sea", "the flag of Norway"]
    path = tmp_path / f"words.{ending}"
    if ending == "txt":
        path.write_text("\n".join(wanted) + "\n\n")
    elif ending == "csv":
        path.write_text("\n".join(["number,caption", *(f"1,{text}" for text in wanted)]))
    else:
        pq.write_table(pa.table({"caption": wanted}), path)
    steps = f"- embed: {{encoder: demo, batch_size: 8}}\n- target: {{path: {path}, keep: 0.5}}"
    run_here(make_plan(tmp_path / "run", tmp_path / "a.tar", steps, part_samples=16))
    encoder = load("demo")
    target = encoder.encode_texts(wanted)
    for row in ledger(tmp_path / "run"):
        if row["target"] is not None:
            own = encoder.encode_texts([row["text"]])[0]
            assert row["target"] == pytest.approx(float((target @ own).max()), abs=1e-3)
            if not row["kept"]:
                said = wanted[int((target @ own).argmax())]
                assert row["message"] == f"nearest of the target: {said}"


def test_the_floor_is_chosen_by_lot_and_the_rest_by_likeness(tmp_path: Path) -> None:
    made = replace(numbered(60), vectors=turned([float(n) for n in range(60)]))
    path = saved(tmp_path / "t.npy", [[1, 0]])
    steps = f"- target: {{path: {path}, keep: 20, floor: 0.25}}"
    found = run_one(tmp_path, made, steps, part_samples=7)
    uid = np.array([[0, n] for n in range(60)], np.uint64)
    lot = np.argsort(order.hashed(uid, 42, "target/floor"))[:5].tolist()
    rest = [n for n in range(60) if n not in lot][:15]
    assert found == sorted(lot + rest)
    config = open_run(str(tmp_path / "run")).settings_of("target")
    assert isinstance(config, Config)
    nothing = np.zeros(60)
    values = np.array([told(tmp_path)[n]["target"] for n in range(60)], np.float64)
    centroids = np.zeros((1, 2), np.float32)
    pool = Pool(uid, nothing.astype(np.int32), nothing.astype(np.float32), values, centroids)
    assert np.flatnonzero(Choice(config, 42).select(pool, 20)).tolist() == found


def test_another_budget_or_bound_is_decided_again_from_what_is_stored(tmp_path: Path) -> None:
    path = saved(tmp_path / "t.npy", [[0.8, 0.6], [0, 1]])
    run_one(tmp_path, circle(), f"- target: {{path: {path}, keep: 4}}\n- write", part_samples=3)
    change = whatif(open_run(str(tmp_path / "run")), ["target.keep=6"])
    assert (change.kept_before, change.kept_after) == (4, 6)
    assert change.by_reason == {"target: off_target": 2}


def test_a_bound_is_explained_and_can_be_moved(tmp_path: Path) -> None:
    path = saved(tmp_path / "t.npy", [[0.8, 0.6], [0, 1]])
    steps = f"- target: {{path: {path}, least: 0.75}}\n- write"
    assert run_one(tmp_path, circle(), steps, part_samples=3) == [0, 1, 2, 5, 6, 7]
    run = open_run(str(tmp_path / "run"))
    (row,) = run.find(f"{3:032x}")
    step = next(step for step in tell(run, row)["steps"] if step["step"] == "target")
    assert step["rules"] == [
        {"rule": "target", "value": row["value"], "min": 0.75, "passes": False}
    ]
    assert step["passes_with"] == [
        {"setting": "target.least", "relation": "<=", "value": row["value"]}
    ]
    (listed,) = Thresholds(run).listed()
    assert (listed["path"], listed["value"], listed["kind"]) == ("target.least", 0.75, "bound")
    values = [told(tmp_path)[n]["target"] for n in range(len(ANGLES))]
    with sql.connect(run) as connection:
        for least in (-2.0, values[0], 0.75, 2.0, 1e300, -1e300):
            moved = Thresholds(run).moved(connection, "target", "target", "min", least)
            bound = np.float32(least) if abs(least) < 3e38 else least
            assert moved["passing"] == sum(value >= bound for value in values)
    change = whatif(run, [f"target.least={values[3]}"])
    assert change.kept_after == sum(value >= values[3] for value in values)


@pytest.mark.parametrize("bound", ["keep: 4", "least: 0.75"])
def test_an_explanation_has_the_value_once(bound: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "t.npy", [[0.8, 0.6], [0, 1]])
    run_one(tmp_path, circle(), f"- target: {{path: {path}, {bound}}}\n- write", part_samples=3)
    run = open_run(str(tmp_path / "run"))
    for number in (1, 3):
        (row,) = run.find(f"{number:032x}")
        (step,) = (one for one in in_words(tell(run, row))["steps"] if one["step"] == "target")
        said = [line for line in step["lines"] if line.startswith("target ")]
        assert len(said) == 1
        assert said[0].startswith(f"target {display.number(row['target'])}")
        assert (step["outcome"] == "dropped") == ("bound" in said[0] or "too low" in said[0])


@pytest.mark.parametrize(
    ("settings", "known", "unknown"),
    [
        ("", "at most 20,000 target vectors x 512 x 8 B: 82 MB", "vectors x d x 8 B"),
        ("measure: moment", "a matrix of 512 x 512 x 8 B: 2 MB", "a matrix of d x d x 8 B"),
        ("measure: concepts, centroids: c.npy", "centroids, of 512 x 8 B", "of d x 8 B each"),
    ],
)
def test_the_plan_says_what_a_worker_holds(settings: str, known: str, unknown: str) -> None:
    config = Config.model_validate(yaml12.load(f"{{path: t.npy, keep: 0.5, {settings}}}"))
    assert any(known in note for note in config.notes(None, lambda _: 512))
    assert any(unknown in note for note in config.notes(None, lambda _: None))


def test_a_moved_target_is_the_same_and_a_changed_one_is_not(tmp_path: Path) -> None:
    entry = write_input(tmp_path / "in", circle())
    for name, rows in [("a", [[1, 0]]), ("b", [[1, 0]]), ("c", [[0, 1]])]:
        saved(tmp_path / f"{name}.npy", rows)
    ran = [
        run_steps(
            tmp_path / "run", [entry], f"- target: {{path: {tmp_path}/{name}.npy, keep: 2}}"
        ).tasks_run
        for name in "abc"
    ]
    assert ran[1] == 0
    assert ran[2] > 0


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ("path: DIR/none.npy", InputError, "no file"),
        ("path: DIR/nothing", JobError, "is not there: a target is a finished run, which has"),
        ("path: DIR/a.txt, side: image", JobError, "`embed` has no model to embed them with"),
        ("path: DIR/wide.npy", InputError, "vectors of 2 numbers are compared with a target of 3"),
        ("path: DIR/zero.npy", InputError, "row 1 is zero or not finite"),
        ("path: DIR/empty.npy", InputError, "is empty: give at least one vector"),
        (
            "path: DIR/t.npy, side: text",
            JobError,
            "compares captions, and `embed` embeds pictures alone",
        ),
        ("path: DIR/t.npy, measure: concepts", JobError, "measure: concepts needs `centroids`"),
        ("path: DIR/t.npy, least: 0.5", JobError, "needs `keep` or `least`, and not both"),
        (
            "path: DIR/t.npy, measure: concepts, centroids: DIR/in",
            JobError,
            "is no `.npy`, and no finished run with one step that clusters",
        ),
    ],
)
def test_what_cannot_be_a_target_is_refused(
    tmp_path: Path, settings: str, error: type[Exception], message: str
) -> None:
    saved(tmp_path / "t.npy", [[1, 0]])
    saved(tmp_path / "wide.npy", [[1, 0, 0]])
    saved(tmp_path / "zero.npy", [[1, 0], [0, 0]])
    saved(tmp_path / "empty.npy", np.zeros((0, 2)))
    (tmp_path / "a.txt").write_text("a\n")
    steps = f"- target: {{keep: 2, {settings.replace('DIR', str(tmp_path))}}}"
    with pytest.raises(error, match=re.escape(message)) as caught:
        run_one(tmp_path, circle(), steps)
    assert "\n" not in str(caught.value)


def test_a_target_of_another_encoder_is_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", captioned().usual)
    run_one(tmp_path, circle(), "- random: {keep: 4}")
    steps = f"- embed: {{encoder: demo}}\n- target: {{path: {tmp_path}/run, keep: 2}}"
    with pytest.raises(
        JobError, match="was not embedded by `demo`, as the samples are, but by precomp"
    ):
        make_plan(tmp_path / "other", tmp_path / "a.tar", steps)


def test_a_run_without_captions_is_no_target_for_captions(tmp_path: Path) -> None:
    made = circle()
    entry = write_input(tmp_path / "in", made)
    run_steps(tmp_path / "known", [entry], "")
    np.save(tmp_path / "in/text_emb_00000.npy", made.vectors.astype(np.float16))
    both = {**entry, "text_embeddings": f"{tmp_path}/in/text_emb_*.npy"}
    step = f"- target: {{path: {tmp_path}/known, side: text, keep: 2}}"
    with pytest.raises(InputError, match="has no vectors of captions: say `side: image`"):
        run_steps(tmp_path / "run", [both], step)


def test_a_target_that_changes_while_it_is_read_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "t.npy", [[1, 0]])
    entry = write_input(tmp_path / "in", circle())
    step = f"- embed: {{encoder: precomputed}}\n- target: {{path: {path}, keep: 2}}"
    made = make_plan(tmp_path / "run", "", step, input=[entry])
    from tamis.pipeline.steps.selectors.target import tasks
    from tamis.pipeline.steps.shared import vector_sets

    true = vector_sets.blocks

    def changed(*args: Any) -> Any:
        saved(path, [[0, 1]])
        return true(*args)

    monkeypatch.setattr(tasks, "blocks", changed)
    with pytest.raises(StateError, match="has changed since the run began"):
        run_here(made)
