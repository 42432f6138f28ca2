"""Density-based pruning through the whole step: the paper's formulas, read once more in plain NumPy, are the judge."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.algorithms import order
from tamis.pipeline.steps.concepts import ranking
from tamis.pipeline.steps.selectors.density.config import Density
from tamis.pipeline.tables import part_files
from tamis.schemas.errors import InputError, JobError
from tamis.schemas.events import Event, PhaseStarted
from tamis.schemas.ledger import meaning
from tests.support.embedded import EMBED, Samples, blobs, by_uid, kept, run_steps, unit, write_input
from tests.support.running import make_plan, run_here
from tests.support.tables import table

SIZES, SPREADS = (150, 90, 60, 30, 10, 1), (0.3, 1.2, 0.6, 2.0, 0.1, 0.1)
STEPS = """
- signals: [flag]
- rules: {flag: {max: 8}}
- density: {clusters: 6, neighbours: 3, keep: 0.3}"""

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def samples() -> Samples:
    """Six blobs of different size and spread; a tenth is dropped by a rule, and five embeddings are no use."""
    made = blobs(SIZES, SPREADS)
    vectors = made.vectors.copy()
    vectors[3], vectors[77], vectors[200] = 0, np.nan, np.inf
    vectors[50, 2], vectors[51, :] = -np.inf, 0
    flags = [i % 10 for i in range(len(made))]
    return replace(made, vectors=vectors, columns={"flag": flags})


def centroids_of(output: Path, step: str = "density") -> npt.NDArray[np.float32]:
    """The centroids that a run has stored."""
    column = pq.read_table(output / "tables" / step / "train" / "centroids.parquet")["centroid"]
    return np.stack([np.frombuffer(raw.as_py(), "<f4") for raw in column])


def by_the_paper(
    vectors: Floats,
    cluster: npt.NDArray[np.int32],
    centroids: Floats,
    budget: int,
    neighbours: int,
    tau: float,
) -> Floats:
    """The real-valued quotas: steps 1 to 4 of the method, one after another."""
    k = len(centroids)
    size = np.array([np.sum(cluster == j) for j in range(k)])
    gap = 1 - np.array([x @ centroids[j] for x, j in zip(vectors, cluster, strict=True)])
    d_intra = np.array([gap[cluster == j].mean() if size[j] else 0.0 for j in range(k)])
    between = 1 - centroids @ centroids.T
    d_inter = np.array([np.sort(np.delete(between[j], j))[:neighbours].mean() for j in range(k)])
    weight = np.where(size > 0, np.exp(d_inter * d_intra / tau), 0)
    share = weight / weight.sum()
    least, most = np.maximum(np.minimum(1, size - 1), 0), size
    low, high = -2.0 * len(vectors), 2.0 * len(vectors)
    for _ in range(200):
        middle = (low + high) / 2
        total = np.clip(budget * share + middle, least, most).sum()
        low, high = (middle, high) if total < budget else (low, middle)
    quota: Floats = np.clip(budget * share + low, least, most)
    return quota


def rounded(quota: Floats, budget: int) -> npt.NDArray[np.int64]:
    """The largest remainders are rounded up, until the sum is the budget."""
    whole = np.floor(quota + 1e-9).astype(np.int64)
    for j in sorted(range(len(quota)), key=lambda j: (-(quota[j] - whole[j]), j)):
        whole[j] += whole.sum() < budget
    return whole


@pytest.mark.parametrize("which", ["hard", "easy", "random"])
def test_the_step_keeps_what_the_formulas_say(tmp_path: Path, samples: Samples, which: str) -> None:
    entry = write_input(tmp_path / "in", samples, 3)
    steps = STEPS.replace("keep: 0.3", f"keep: 0.3, temperature: 0.05, which: {which}")
    result = run_steps(tmp_path / "run", [entry], steps, part_samples=100)
    rows = by_uid(tmp_path / "run")
    reached = [i for i, uid in enumerate(samples.uid) if rows[uid]["rank"] is not None]
    assert len(reached) == len(samples) - sum(sum(a.dropped.values()) for a in result.accounts[:-1])
    stored = samples.vectors[reached].astype(np.float16).astype(np.float64)
    stored = unit(stored).astype(np.float16).astype(np.float64)
    cluster = np.array([rows[samples.uid[i]]["cluster"] for i in reached], np.int32)
    centroids = centroids_of(tmp_path / "run").astype(np.float64)
    assert (cluster == (stored @ centroids.T).argmax(axis=1)).all()
    budget = int(0.3 * len(reached))
    quota = rounded(by_the_paper(stored, cluster, centroids, budget, 3, 0.05), budget)
    assert quota.sum() == budget == len(kept(tmp_path / "run"))
    distance = {
        samples.uid[i]: 1 - x @ centroids[j]
        for i, x, j in zip(reached, stored, cluster, strict=True)
    }
    for j in range(len(centroids)):
        members = [samples.uid[i] for i, c in zip(reached, cluster, strict=True) if c == j]
        assert {rows[uid]["quota"] for uid in members} <= {quota[j]}
        ranked = sorted(members, key=lambda uid: rows[uid]["rank"])
        assert [rows[uid]["rank"] for uid in ranked] == list(range(1, len(members) + 1))
        assert [rows[uid]["kept"] for uid in ranked] == [r < quota[j] for r in range(len(members))]
        gaps = np.array([distance[uid] for uid in ranked])
        if which == "random":
            lots = order.hashed(order.parse(ranked), 42, "ranks")
            assert (np.diff(lots.astype(object)) > 0).all()
        else:
            assert (np.diff(gaps) * (1 if which == "easy" else -1) >= -1e-6).all()
        assert np.allclose([rows[uid]["distance"] for uid in ranked], gaps, atol=1e-6)


def test_the_ledger_tells_rank_and_quota(tmp_path: Path, samples: Samples) -> None:
    run_steps(tmp_path / "run", [write_input(tmp_path / "in", samples)], STEPS)
    rows = by_uid(tmp_path / "run").values()
    over = [row for row in rows if row["step"] == "density"]
    assert over
    for row in over:
        assert (row["reason"], row["rule"]) == ("over_quota", "quota")
        assert row["value"] == row["rank"] > row["quota"] == row["bound"]
    unused = [row for row in rows if row["reason"] == "bad_embedding"]
    assert len(unused) == 5
    assert all(row["cluster"] is None for row in unused)


def test_what_is_dropped_later_has_a_cluster_but_no_rank(tmp_path: Path) -> None:
    made = blobs((40, 40), (0.5, 0.5))
    made = replace(made, columns={"flag": [i % 4 for i in range(80)]})
    steps = "- signals: [flag]\n- rules: {flag: {max: 2}}\n- density: {clusters: 2, neighbours: 1, keep: 30}"
    run_steps(tmp_path / "run", [write_input(tmp_path / "in", made)], steps)
    for row in by_uid(tmp_path / "run").values():
        assert row["cluster"] in (0, 1)
        assert (row["rank"] is None) == (row["quota"] is None) == (row["step"] == "rules")


MORE = STEPS.replace("keep", "full_iterations: 2, which: random, keep") + "\n- random: {keep: 0.5}"


@pytest.fixture(scope="module")
def plain(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one file, one part, one bucket and one range."""
    folder = tmp_path_factory.mktemp("plain")
    run_steps(folder / "run", [write_input(folder / "in", samples)], MORE)
    return folder / "run"


@pytest.mark.parametrize(
    "cut",
    [
        {"part_samples": 60, "range_samples": 130},
        {"part_samples": 1000, "bucket": 40, "shuffled": True, "files": 2},
        {"part_samples": 90, "range_samples": 200, "bucket": 11, "shuffled": True, "files": 3},
    ],
)
def test_no_division_and_no_order_shows_in_the_result(
    tmp_path: Path,
    samples: Samples,
    plain: Path,
    cut: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = cut.pop("bucket", 10_000_000)
    monkeypatch.setattr(ranking, "buckets_for", lambda rows: 1 + rows // bucket)
    monkeypatch.setattr(ranking, "SAMPLES_PER_BUCKET", 5)
    order = np.arange(len(samples))
    if cut.pop("shuffled", False):
        order = np.random.default_rng(9).permutation(len(samples))
    entry = write_input(tmp_path / "in", samples.take(order), cut.pop("files", 1))
    run_steps(tmp_path / "run", [entry], MORE, **cut)
    assert by_uid(tmp_path / "run") == by_uid(plain)
    assert (centroids_of(tmp_path / "run") == centroids_of(plain)).all()


def test_equal_distances_are_ordered_by_uid(tmp_path: Path) -> None:
    made = Samples(
        [f"{i:032x}" for i in np.random.default_rng(1).permutation(60)], np.ones((60, 4)), {}
    )
    steps = "- density: {clusters: 1, keep: 20, which: hard}"
    run_steps(tmp_path / "run", [write_input(tmp_path / "in", made, 2)], steps, part_samples=7)
    assert kept(tmp_path / "run") == {f"{i:032x}" for i in range(20)}


def test_another_budget_computes_only_what_stands_below_it(
    tmp_path: Path, samples: Samples
) -> None:
    entry = write_input(tmp_path / "in", samples, 2)
    run_steps(tmp_path / "run", [entry], STEPS, part_samples=100)
    events: list[Event] = []
    made = make_plan(
        tmp_path / "run",
        "",
        f"{EMBED}{STEPS.replace('keep: 0.3', 'keep: 50')}",
        input=[entry],
        part_samples=100,
    )
    run_here(made, [events.append])
    started = [e.phase for e in events if isinstance(e, PhaseStarted) and e.step == "density"]
    assert started == ["quotas", "verdict"]
    assert len(kept(tmp_path / "run")) == 50


def test_few_clusters_of_auto_have_as_many_neighbours_as_there_are(tmp_path: Path) -> None:
    entry = write_input(tmp_path / "in", blobs((20, 20), (0.5, 0.5)))
    run_steps(tmp_path / "run", [entry], "- density: {clusters: auto, keep: 0.5}")
    assert len(kept(tmp_path / "run")) == 20
    path = "tables/density/quotas/clusters.parquet"
    file = part_files.inspect(str(tmp_path / "run"), path, (tmp_path / "run" / path).stat().st_size)
    assert file is not None
    assert (file.notes["neighbours"], file.notes["neighbours_asked"]) == (9, 20)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            "clusters: 9, neighbours: 9, keep: 0.5",
            JobError,
            "9 neighbours of each of 9 clusters: a cluster has only 8",
        ),
        (
            "clusters: 41, keep: 0.5",
            JobError,
            "41 clusters, but only 40 samples reach the step: .* at most 40",
        ),
        (
            "clusters: auto, neighbours: 12, keep: 0.5",
            JobError,
            "12 neighbours of each of 10 clusters",
        ),
        (
            "clusters: 4, neighbours: 3, keep: 41",
            JobError,
            "keep 41 asks for 41 samples, but only 40 reach",
        ),
        (
            "clusters: 4, neighbours: 3, keep: 1",
            JobError,
            "budget of 1 is below",
        ),
    ],
)
def test_what_cannot_be_is_one_line_with_the_numbers(
    tmp_path: Path, settings: str, error: type[Exception], message: str
) -> None:
    entry = write_input(tmp_path / "in", blobs((20, 20), (0.5, 0.5)))
    with pytest.raises(error, match=message) as caught:
        run_steps(tmp_path / "run", [entry], f"- density: {{{settings}}}")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("density: ")


def test_a_share_of_the_input_can_be_more_than_reaches_the_step(tmp_path: Path) -> None:
    made = replace(blobs((20, 20), (0.5, 0.5)), columns={"flag": [i % 2 for i in range(40)]})
    entry = write_input(tmp_path / "in", made)
    steps = "- signals: [flag]\n- rules: {flag: {max: 0}}\n- density: {clusters: 2, neighbours: 1, of: input, keep: "
    run_steps(tmp_path / "run", [entry], steps + "0.5}")
    assert len(kept(tmp_path / "run")) == 20
    with pytest.raises(
        JobError, match=re.escape("keep 0.6 asks for 24 samples, but only 20 reach")
    ):
        run_steps(tmp_path / "run", [entry], steps + "0.6}")


def test_inputs_of_two_widths_are_an_error(tmp_path: Path) -> None:
    wide = write_input(tmp_path / "wide", blobs((20,), (0.5,), dim=8))
    narrow = write_input(tmp_path / "narrow", blobs((20,), (0.5,), dim=6, seed=1))
    entries = [{**wide, "name": "wide"}, {**narrow, "name": "narrow"}]
    with pytest.raises(InputError, match=r"narrow/.* of 6 numbers, but .*wide/.* has 8"):
        run_steps(tmp_path / "run", entries, "- density: {clusters: 2, neighbours: 1, keep: 5}")


def test_one_cluster_keeps_the_farthest(tmp_path: Path) -> None:
    run_steps(
        tmp_path / "run",
        [write_input(tmp_path / "in", blobs((30,), (1.0,)))],
        "- density: {clusters: 1, keep: 7, which: hard}",
    )
    rows = by_uid(tmp_path / "run").values()
    assert sorted(row["rank"] for row in rows if row["kept"]) == list(range(1, 8))
    distances = sorted((row["distance"] for row in rows), reverse=True)
    assert sorted((row["distance"] for row in rows if row["kept"]), reverse=True) == distances[:7]


def test_buckets_cut_through_a_large_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "buckets_for", lambda rows: 1 + rows // 60)
    monkeypatch.setattr(ranking, "SAMPLES_PER_BUCKET", 40)
    made = blobs((500, 5, 1), (0.4, 0.2, 0.1))
    steps = "- density: {clusters: 3, neighbours: 2, keep: 50, which: hard}"
    run_steps(tmp_path / "run", [write_input(tmp_path / "in", made, 3)], steps, part_samples=100)
    files = sorted((tmp_path / "run/tables/density/ranked").glob("bucket-*.parquet"))
    assert len(files) == 1 + 506 // 60
    assert max(pq.read_metadata(file).num_rows for file in files) < 120
    placed = table(tmp_path / "run", "density", "places")
    for number in range(3):
        mine = placed.filter(np.asarray(placed["cluster"]) == number)
        ranks = np.asarray(mine["rank"])
        assert sorted(ranks) == list(range(1, len(ranks) + 1))
        assert (np.diff(np.asarray(mine["distance"])[np.argsort(ranks)]) <= 0).all()


@pytest.mark.parametrize(
    ("which", "words"),
    [("hard", "farther from"), ("easy", "nearer to"), ("random", "whose lots were drawn before")],
)
def test_the_reason_says_in_which_order_a_concept_keeps(which: str, words: str) -> None:
    step = Density.model_validate({"keep": 0.5, "which": which})
    assert words in meaning("over_quota", step)
    assert step.by_lot == (which == "random")


@pytest.mark.parametrize(
    ("which", "samples", "warned"),
    [
        ("hard", None, True),
        ("hard", 90_158, True),
        ("hard", 10**6, False),
        ("random", 90_158, False),
    ],
)
def test_the_hardest_are_advised_against_where_the_pool_may_be_small(
    which: str, samples: int | None, warned: bool
) -> None:
    step = Density.model_validate({"keep": 0.5, "clusters": 8, "which": which})
    notes = list(step.notes(samples, lambda _: 16))
    assert any(note.startswith("which: hard is for large, clean pools") for note in notes) == warned
