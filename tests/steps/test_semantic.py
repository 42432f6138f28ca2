"""Semantic duplicates through the whole step, against each cluster's full matrix in NumPy."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.algorithms import order
from tamis.pipeline.planning import preview
from tamis.pipeline.steps.duplicates.semantic import step, tasks
from tamis.pipeline.steps.shared import bucket_counts
from tamis.schemas.errors import JobError
from tamis.schemas.events import Event, PhaseStarted
from tests.support import duplicates
from tests.support.demo_run import DemoRun
from tests.support.embedded import EMBED, Samples, blobs, by_uid, run_steps, unit, write_input
from tests.support.running import contents, ledger, make_plan, run_here
from tests.support.tables import with_sids

STEP = "semantic_duplicates"
Doubles = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def samples() -> Samples:
    """Eleven concepts of unlike sizes and widths, a third of the samples copies of others with a little noise."""
    made = blobs([400, 150, 90, 60, 40, 30, 20, 5, 3, 1, 1], [0.9] * 11, dim=24, seed=1)
    draw = np.random.default_rng(2)
    vectors = made.vectors.copy()
    copies = draw.choice(len(made), len(made) // 3, replace=False)
    noise = 0.05 * draw.standard_normal((len(copies), 24))
    vectors[copies] = unit(vectors[draw.integers(0, len(made), len(copies))] + noise)
    vectors[copies[:10]] = vectors[copies[10:20]]
    return dataclasses.replace(made, vectors=vectors)


def run_semantic(folder: Path, samples: Samples, settings: str, **job: Any) -> Path:
    if not (folder / "in").exists():
        write_input(folder / "in", samples, files=3)
    entry = {"path": f"{folder}/in/*.parquet", "image_embeddings": f"{folder}/in/img_emb_*.npy"}
    run_steps(folder / "run", [entry], f"- {STEP}: {{{settings}}}", **job)
    return folder / "run"


def stored(output: Path) -> list[dict[str, Any]]:
    """Of every embedded sample: uid, vector, cluster, its similarity to the centroid, and what the step stored."""
    uids = {row["sid"]: row["uid"] for row in ledger(output)}
    vectors = {r["sid"]: r["image"] for r in with_sids(output, "embed", "vectors").to_pylist()}
    rows = []
    for row in with_sids(output, STEP, "assign").to_pylist():
        vector = np.frombuffer(vectors[row["sid"]], dtype=np.float16).astype(np.float64)
        rows.append({**row, "uid": uids[row["sid"]], "vector": vector})
    return rows


def first_to_last(rows: list[dict[str, Any]], which: str, seed: int) -> list[dict[str, Any]]:
    """The members of a cluster in SemDeDup's order."""
    distance = {row["uid"]: float(np.float32(1) - np.float32(row["similarity"])) for row in rows}
    if which == "random":
        words = order.parse([row["uid"] for row in rows])
        drawn = order.hashed(words, seed, "semantic duplicates").tolist()
        key = {row["uid"]: (h, row["uid"]) for row, h in zip(rows, drawn, strict=True)}
    else:
        sign = -1.0 if which == "hard" else 1.0
        key = {uid: (sign * far, uid) for uid, far in distance.items()}
    return sorted(rows, key=lambda row: key[row["uid"]])


def full_matrix(output: Path, which: str, seed: int = 42) -> dict[str, tuple[float, set[str]]]:
    """uid -> the largest cosine to an earlier member of its cluster, at least 0, and who is that like."""
    clusters: dict[int, list[dict[str, Any]]] = {}
    for row in stored(output):
        clusters.setdefault(row["cluster"], []).append(row)
    nearest: dict[str, tuple[float, set[str]]] = {}
    for members in clusters.values():
        ordered = first_to_last(members, which, seed)
        vectors = np.stack([row["vector"] for row in ordered]).astype(np.float64)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        products = np.tril(vectors @ vectors.T, -1)
        for position, row in enumerate(ordered):
            earlier = products[position, :position]
            best = max(float(earlier.max(initial=0.0)), 0.0)
            like = {ordered[other]["uid"] for other in np.flatnonzero(earlier >= best - 1e-6)}
            nearest[row["uid"]] = best, like if best > 0 else {row["uid"]}
    return nearest


def scores(output: Path) -> dict[str, tuple[float, str]]:
    """uid -> the stored similarity and partner."""
    uids = {row["sid"]: row["uid"] for row in ledger(output)}
    nearest: dict[str, tuple[float, str]] = {}
    for row in with_sids(output, STEP, "scores").to_pylist():
        value = row["semantic_similarity"], row["partner"].hex()
        assert nearest.setdefault(uids[row["sid"]], value) is value
    return nearest


@pytest.mark.parametrize("which", ["hard", "easy", "random"])
def test_similarities_and_drops_are_those_of_the_full_matrix(
    which: str, samples: Samples, tmp_path: Path
) -> None:
    output = run_semantic(tmp_path, samples, f"clusters: 6, epsilon: 0.05, which_to_keep: {which}")
    wanted = full_matrix(output, which)
    nearest = scores(output)
    assert nearest.keys() == wanted.keys() == set(samples.uid)
    for uid, (value, partner) in nearest.items():
        assert value == pytest.approx(wanted[uid][0], abs=2e-6)
        assert partner in wanted[uid][1] or value == 0
    rows = by_uid(output)
    dropped = {uid for uid, row in rows.items() if not row["kept"]}
    assert dropped == {uid for uid, (value, _) in nearest.items() if value > 1 - 0.05}
    assert 100 < len(dropped) < 400
    for uid in dropped:
        row = rows[uid]
        assert (row["value"], row["partner_uid"]) == nearest[uid]
        assert (row["reason"], row["rule"], row["bound"]) == ("semantic_duplicate", "epsilon", 0.95)
        chain = row["partner_uid"]
        while chain in dropped:
            chain = rows[chain]["partner_uid"]
        assert row["survivor_uid"] == chain


def test_the_public_vector(tmp_path: Path) -> None:
    """[1,2,3] [4,5,6] [7,8,9] [10,11,12] [1,2,3] [1,2,3], in this order, to what float16 keeps of it."""
    names = [f"{number:032x}" for number in range(6)]
    drawn = order.hashed(order.parse(names), 42, "semantic duplicates")
    uid = [names[position] for position in np.argsort(drawn)]
    rows = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12], [1, 2, 3], [1, 2, 3]])
    made = Samples(uid, unit(rows.astype(float)), {})
    output = run_semantic(tmp_path, made, "clusters: 1, epsilon: 0.001, which_to_keep: random")
    nearest = scores(output)
    similarity = [nearest[name][0] for name in uid]
    assert similarity == pytest.approx([0, 0.974631, 0.998190, 0.999618, 1, 1], abs=1e-3)
    assert [uid.index(nearest[name][1]) for name in uid] == [0, 0, 1, 2, 0, 0]
    assert [by_uid(output)[name]["kept"] for name in uid] == [True, True, True, False, False, False]


def test_another_epsilon_only_decides_again(samples: Samples, tmp_path: Path) -> None:
    run_semantic(tmp_path, samples, "clusters: 6, epsilon: 0.05")
    begun: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.step == STEP:
            begun.append(event.phase)

    entry = {
        "path": f"{tmp_path}/in/*.parquet",
        "image_embeddings": f"{tmp_path}/in/img_emb_*.npy",
    }
    steps = f"{EMBED}\n- {STEP}: {{clusters: 6, epsilon: 0.2}}"
    run_here(make_plan(tmp_path / "run", "", steps, input=[entry]), [note])
    assert begun == ["doomed", "verdict"]
    dropped = {uid for uid, row in by_uid(tmp_path / "run").items() if not row["kept"]}
    assert dropped == {uid for uid, (v, _) in scores(tmp_path / "run").items() if v > 0.8}


def test_only_the_living_are_compared(samples: Samples, tmp_path: Path) -> None:
    """A copy whose partner an earlier step dropped is no duplicate."""
    first = run_semantic(tmp_path / "one", samples, "clusters: 1, epsilon: 0.05")
    whole = by_uid(first)
    text = ["long enough" if int(uid, 16) % 2 else "short" for uid in samples.uid]
    marked = dataclasses.replace(samples, columns={"text": text})
    entry = write_input(tmp_path / "two/in", marked)
    steps = f"- signals: [words]\n- rules: {{words: {{min: 2}}}}\n- {STEP}: {{clusters: 1, epsilon: 0.05}}"
    run_steps(tmp_path / "two/run", [entry], steps)
    rows = by_uid(tmp_path / "two/run")
    assert {uid for uid, row in rows.items() if row["step"] == "rules"} == {
        uid for uid in samples.uid if int(uid, 16) % 2 == 0
    }
    dropped = {uid: row for uid, row in rows.items() if row["step"] == STEP}
    assert all(int(row["partner_uid"], 16) % 2 for row in dropped.values())
    assert 0 < len(dropped) < sum(not row["kept"] for row in whole.values())


@pytest.mark.parametrize("clusters", [1, 40])
def test_a_bucket_too_large_to_be_held_gives_the_same_bytes(
    clusters: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A giant cluster, or many in one bucket: laid out in blocks, compared by several tasks, no pair lost."""
    made = blobs([17_000, 300, 40, 1], [0.7, 0.3, 0.3, 0.1], dim=8, seed=5)
    settings = f"clusters: {clusters}, epsilon: 0.005"
    output = run_semantic(tmp_path, made, settings)
    one, nearest = contents(output / "ledger"), scores(output)
    monkeypatch.setattr(step, "OVERSIZE_BYTES", 2000)
    monkeypatch.setattr(bucket_counts, "VECTOR_BYTES", 100_000)
    monkeypatch.setattr(step, "SPAN_FLOP", 2e7)
    monkeypatch.setattr(tasks, "BLOCK_ROWS", 1500)
    run_semantic(tmp_path, made, settings)
    folder = output / "tables" / STEP
    assert len(list((folder / "pairs").glob("bucket-*-*.parquet"))) >= 3
    assert len(list((folder / "blocks").glob("bucket-*-*.parquet"))) >= 3
    assert contents(output / "ledger") == one
    assert scores(output) == nearest
    assert len(nearest) == len(made)


def test_pieces_of_a_laid_out_bucket_cover_every_pair_once() -> None:
    sizes = [1, 40_000, 9000, 3, 17_000]
    covered: dict[int, list[tuple[int, int]]] = {}
    for task in step._dealt(sizes, 1e7):
        for span in task:
            covered.setdefault(span.base, []).append((span.start, span.stop))
    bases = np.cumsum([0, *sizes[:-1]]).tolist()
    assert sorted(covered) == bases
    for base, size in zip(bases, sizes, strict=True):
        spans = covered[base]
        assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
        assert spans[-1][1] == size


@pytest.fixture(scope="module")
def clip_art(demo_run: DemoRun) -> Samples:
    """What the demo encoder has made of clip art, of which exact and near copies are gone."""
    found: dict[str, bytes] = {}
    uids = {row["sid"]: row["uid"] for row in demo_run.ledger()}
    for row in with_sids(demo_run.root, "embed", "vectors").to_pylist():
        found[uids[row["sid"]]] = row["image"]
    vectors = np.stack([np.frombuffer(image, np.float16) for image in found.values()])
    return Samples(list(found), vectors, {})


@pytest.mark.slow
def test_clusters_of_clip_art_by_the_demo_encoder(clip_art: Samples, tmp_path: Path) -> None:
    output = run_semantic(tmp_path, clip_art, "clusters: 3, epsilon: 0.1")
    wanted = full_matrix(output, "hard")
    near = {uid for uid, (value, _) in wanted.items() if abs(value - 0.9) < 1e-6}
    dropped = set(duplicates.dropped(ledger(output), STEP))
    assert dropped - near == {uid for uid, (value, _) in wanted.items() if value > 0.9} - near
    assert len(dropped) > 20


def test_the_plan_says_how_many_clusters_auto_is_and_what_they_cost(tmp_path: Path) -> None:
    uid = [f"{row:032x}" for row in range(5000)]
    pq.write_table(pa.table({"uid": uid, "text": ["a"] * 5000}), tmp_path / "a.parquet")
    steps = f"- embed: {{encoder: demo}}\n- {STEP}: {{}}"
    notes = preview.preview(make_plan(tmp_path / "run", tmp_path / "a.parquet", steps))["notes"]
    (note,) = [note for note in notes if note.startswith(STEP)]
    assert "clusters: auto is 1 (0 TFLOP to train, 0 to assign, " in note
    assert "to compare) if all 5,000 samples reach it" in note


def test_the_plan_refuses_more_clusters_than_the_input_has_rows(tmp_path: Path) -> None:
    rows = {"uid": [f"{row:032x}" for row in range(60)], "text": ["a"] * 60}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")

    def previewed(steps: str) -> None:
        embedded = f"- embed: {{encoder: demo}}\n- {steps}"
        preview.preview(make_plan(tmp_path / "run", tmp_path / "a.parquet", embedded))

    previewed("density: {clusters: 60, keep: 0.5}")
    with pytest.raises(
        JobError, match=r"^density: 61 clusters, but the input has only 60 samples: .* at most 60$"
    ):
        previewed("density: {clusters: 61, keep: 0.5}")


def test_the_best_by_a_signal_comes_first(samples: Samples, tmp_path: Path) -> None:
    """Nobody falls for a caption shorter than its own; the rest is the rule as in any other order."""
    draw = np.random.default_rng(8)
    lengths = draw.integers(1, 20, len(samples))
    text = ["x" * int(length) for length in lengths]
    given = dataclasses.replace(samples, columns={"text": text})
    write_input(tmp_path / "in", given, files=3)
    entry = {"path": f"{tmp_path}/in/*.parquet", "image_embeddings": f"{tmp_path}/in/img_emb_*.npy"}
    settings = "clusters: 1, epsilon: 0.05, which_to_keep: {signal: characters}"
    run_steps(tmp_path / "run", [entry], f"- signals: [characters]\n- {STEP}: {{{settings}}}")
    place = {uid: (-int(n), uid) for uid, n in zip(samples.uid, lengths, strict=True)}
    order_of = sorted(range(len(samples)), key=lambda row: place[samples.uid[row]])
    vectors = unit(samples.vectors.astype(np.float16).astype(np.float64))[order_of]
    best = np.tril(vectors @ vectors.T, -1).max(axis=1)
    near = np.abs(best - 0.95) < 1e-5
    rows = by_uid(tmp_path / "run")
    for value, unsure, row in zip(best, near, order_of, strict=True):
        found = rows[samples.uid[row]]
        assert unsure or found["kept"] == (value <= 0.95)
        assert found["kept"] or place[found["partner_uid"]] < place[samples.uid[row]]
