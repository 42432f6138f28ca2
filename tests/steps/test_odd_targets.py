"""Targets, centroids and weights of any size, of damaged runs, and of files that change: right, or one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tamis.pipeline.algorithms.choosing import target
from tamis.pipeline.steps.exclude import entries
from tamis.pipeline.steps.selectors.balance import step as balance
from tamis.pipeline.steps.selectors.importance import step as importance
from tamis.pipeline.steps.selectors.quotas import groups
from tamis.pipeline.steps.selectors.target import tasks
from tamis.pipeline.steps.shared import other_runs, vector_sets
from tamis.schemas.errors import StateError, TamisError
from tests.support.embedded import EMBED, blobs, by_uid, kept, run_steps, unit, write_input
from tests.support.running import make_plan, run_here


@pytest.mark.parametrize("exponent", [-1000, -500, -100, 0, 100, 500, 1000])
def test_the_length_of_a_vector_does_not_matter(exponent: int) -> None:
    rows = np.random.default_rng(exponent + 1000).standard_normal((9, 7))
    far = np.ldexp(rows, exponent)
    assert np.array_equal(target.unit(far), target.unit(rows))
    assert np.array_equal(target.unit_centroids(far), target.unit(rows))


def test_a_vector_of_the_smallest_numbers_has_a_direction() -> None:
    made = target.unit(np.array([[5e-324, 0.0], [0.0, -1e-310]]))
    assert made.tolist() == [[1, 0], [0, -1]]


def test_centroids_of_length_one_stay_as_they_are() -> None:
    rows = unit(np.random.default_rng(0).standard_normal((50, 33)))
    assert np.array_equal(target.unit_centroids(rows), rows)


def test_concepts_are_by_cosine_whatever_the_centroids_lengths(tmp_path: Path) -> None:
    made = blobs((20, 20), (0.2, 0.2), dim=8, seed=3)
    entry = write_input(tmp_path / "in", made, 2)
    own = np.stack([made.vectors[:20].mean(axis=0), made.vectors[20:].mean(axis=0)])
    np.save(tmp_path / "t.npy", made.vectors[:1])
    found = []
    for number, lengths in enumerate(([1.0, 1.0], [1e-9, 1e9], [1e200, 1e-200])):
        np.save(
            tmp_path / f"c{number}.npy", unit(own).astype(np.float64) * np.array(lengths)[:, None]
        )
        step = f"- target: {{path: {tmp_path}/t.npy, measure: concepts, centroids: {tmp_path}/c{number}.npy, least: 1}}"
        run_steps(tmp_path / f"run{number}", [entry], step)
        found.append(kept(tmp_path / f"run{number}"))
    assert 0 < len(found[0]) < 40
    assert found[0] == found[1] == found[2]


V = np.random.default_rng(1).standard_normal((5, 8))
ODD: dict[str, npt.NDArray[Any]] = {
    "not a number": np.vstack([V, V[:1] * np.nan]),
    "no end": np.vstack([V, np.full((1, 8), np.inf)]),
    "zero": np.vstack([V, V[:1] * 0]),
    "no rows": V[:0],
    "another width": np.ones((3, 9)),
    "one dimension": V[0],
    "whole numbers": np.ones((3, 8), np.int64),
    "by columns": np.asfortranarray(V),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """An input, and a finished run over it."""
    folder = tmp_path_factory.mktemp("base")
    entry = write_input(folder / "in", blobs((12, 12), (0.3, 0.3), dim=8, seed=2), 2)
    steps = "- semantic_duplicates: {clusters: 2, epsilon: 0.0001}\n- random: {keep: 0.8}"
    run_steps(folder / "run", [entry], steps, part_samples=6)
    return entry, folder / "run"


def refused(tmp_path: Path, entry: dict[str, Any], step: str) -> str:
    with pytest.raises(TamisError) as told:
        run_here(make_plan(tmp_path / "out", "", f"{EMBED}\n{step}", input=[entry]))
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("kind", ODD)
def test_odd_vectors(kind: str, base: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    np.save(tmp_path / "odd.npy", ODD[kind])
    np.save(tmp_path / "t.npy", V)
    entry, _ = base
    refused(tmp_path, entry, f"- target: {{path: {tmp_path}/odd.npy, keep: 0.5}}")
    concepts = f"measure: concepts, centroids: {tmp_path}/odd.npy, keep: 0.5"
    refused(tmp_path, entry, f"- target: {{path: {tmp_path}/t.npy, {concepts}}}")


def first(root: Path, pattern: str) -> Path:
    return min(root.glob(pattern))


def rewritten(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


def replaced(pattern: str, data: bytes) -> Callable[[Path], object]:
    return lambda root: first(root, pattern).write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "manifest is no JSON": replaced("manifest.json", b"{"),
    "manifest is no text": replaced("manifest.json", b"\xff"),
    "manifest is a list": replaced("manifest.json", b"[]"),
    "manifest is empty": replaced("manifest.json", b"{}"),
    "manifest has no steps": rewritten("manifest.json", '"steps"', '"stairs"'),
    "manifest has an unknown step": rewritten("manifest.json", '"embed"', '"unknown"'),
    "another version's": rewritten("plan.json", '"layout": 3', '"layout": 2'),
    "a first version's": lambda root: (root / "plan.json").write_text('{"job": "old"}'),
    "no manifest": lambda root: (root / "manifest.json").unlink(),
    "ledger is cut": lambda root: first(root, "ledger/*").write_bytes(
        first(root, "ledger/*").read_bytes()[:-9]
    ),
    "ledger is other": replaced("ledger/*", b"PAR1junkPAR1"),
    "ledger is gone": lambda root: first(root, "ledger/*").unlink(),
    "vectors are other": replaced("tables/embed/vectors/part*", b"junk"),
    "vectors are gone": lambda root: shutil.rmtree(root / "tables/embed"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_no_target_and_no_list(
    damage: str, base: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    entry, root = base
    shutil.copytree(root, tmp_path / "run")
    DAMAGES[damage](tmp_path / "run")
    refused(tmp_path, entry, f"- target: {{path: {tmp_path}/run, keep: 0.5}}")
    if "vectors" not in damage and "step" not in damage:
        refused(tmp_path, entry, f"- exclude: {{list: {tmp_path}/run, on: uid}}")


def test_damaged_centroids_of_a_run_are_told_as_its_own(
    base: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    entry, root = base
    shutil.copytree(root, tmp_path / "run")
    first(tmp_path / "run", "tables/*/train/centroids.parquet").write_bytes(b"junk")
    np.save(tmp_path / "t.npy", V)
    step = f"- target: {{path: {tmp_path}/t.npy, measure: concepts, centroids: {tmp_path}/run, keep: 0.5}}"
    assert "run that job again" in refused(tmp_path, entry, step)


def lists(folder: Path, run: Path) -> dict[str, tuple[str, Path, Any, str]]:
    """A step, the file whose change it has to see, and a function that it calls while it reads."""
    (folder / "list.txt").write_text("a\ncaption\n")
    (folder / "uids.txt").write_text("0" * 32 + "\n")
    (folder / "w.csv").write_text("caption_length_class,weight\n")
    np.save(folder / "t.npy", V)
    vectors, text = folder / "t.npy", folder / "list.txt"
    return {
        "exclude": (f"exclude: {{list: {folder}/uids.txt, on: uid}}", folder / "uids.txt", entries, "_sorted"),
        "exclude a run": (f"exclude: {{list: {run}, on: uid}}", run / "manifest.json", entries, "_of_run"),
        "balance": (f"balance: {{list: {text}, most: 3}}", text, balance, "concepts_of"),
        "importance": (f"importance: {{target: {text}, keep: 0.5}}", text, importance, "_totals"),
        "target": (f"target: {{path: {vectors}, keep: 0.5}}", vectors, vector_sets, "_taken"),
        "centroids": (
            f"target: {{path: {run}, measure: concepts, centroids: {vectors}, keep: 0.5}}", vectors, tasks, "_of_file",
        ),
    }  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["exclude", "exclude a run", "balance", "importance", "target", "centroids"]
)
def test_what_changes_while_it_is_read_ends_the_run(
    kind: str, base: tuple[dict[str, Any], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry, root = base
    shutil.copytree(root, tmp_path / "run")
    step, path, module, name = lists(tmp_path, tmp_path / "run")[kind]
    made = make_plan(tmp_path / "out", "", f"{EMBED}\n- {step}", input=[entry])
    true = getattr(module, name)

    def changed(*arguments: Any) -> Any:
        path.write_bytes(path.read_bytes() + b"\n")
        return true(*arguments)

    monkeypatch.setattr(module, name, changed)
    with pytest.raises(StateError, match="has changed while it was read"):
        run_here(made)


def test_weights_that_change_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.csv"
    path.write_text("a,weight\nx,1\n")
    with (
        pytest.raises(StateError, match="has changed while"),
        other_runs.unchanged([f"{path}"], "it"),
    ):
        path.write_text("a,weight\nx,2\n")
    with pytest.raises(StateError, match="since the run began"):
        other_runs.check_sha256(f"{path}", "0" * 64, "it")
    path.unlink()
    with pytest.raises(StateError, match="since the run began"):
        other_runs.check_sha256(f"{path}", "0" * 64, "it")


@pytest.mark.parametrize(
    ("weights", "power"),
    [([1e308, 1e308], 1.0), ([1e-320, 1e-323], 1.0), ([1e-40, 1.0], 10.0), ([1e30, 1e40], 10.0), ([5e-324, 1], 1.0)],
)  # fmt: skip
def test_weights_that_are_no_numbers_any_more_are_refused(
    weights: list[float], power: float
) -> None:
    table = pa.table({"level_0": ["a", "b"], "size": [5, 5]})
    weight = np.array(weights)
    levels = groups.tree(table, weight, power, np.array([5, 5]), 1)
    with pytest.raises(TamisError, match="in another unit, or lower `power`"):
        groups.check_spread("quotas", levels, weight)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [0.0, 3.0], [1e-9, 1e9], [2.0, 2.0]])
def test_weights_that_are_shared_out(weights: list[float]) -> None:
    table = pa.table({"level_0": ["a", "b"], "size": [5, 5]})
    weight = np.array(weights)
    levels = groups.tree(table, weight, 2.0, np.array([5, 5]), 1)
    groups.check_spread("quotas", levels, weight)
    total = min(5, int(levels[0].capacity.sum()))
    assert groups.solved(levels, total).sum() == total


def test_vectors_of_a_run_and_its_own_file_are_the_same_target(
    base: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    entry, root = base
    step = f"- target: {{path: {root}, keep: 0.5}}"
    run_steps(tmp_path / "one", [entry], step)
    assert len(by_uid(tmp_path / "one")) == 24
    assert json.loads((tmp_path / "one/manifest.json").read_text())["kept"] == 12
