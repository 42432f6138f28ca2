"""Centroids: trained on a sample, refined over all samples, or taken from a finished run."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from tamis.pipeline.audit.reading.concepts import trained
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.steps.concepts import concepts, lloyd
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.tables import part_files
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import InputError, JobError, StateError
from tests.support.embedded import EMBED, Samples, blobs, by_uid, run_steps, unit, write_input
from tests.support.running import make_plan, run_here
from tests.support.tables import table

SETTINGS = "clusters: 5, neighbours: 2, keep: 0.5"


def stored(output: Path, phase: str = "train") -> npt.NDArray[np.float32]:
    """The centroids of a phase."""
    path = output / "tables" / "density" / phase / "centroids.parquet"
    return np.stack([np.frombuffer(r.as_py(), "<f4") for r in pq.read_table(path)["centroid"]])


def notes(output: Path, phase: str = "train") -> dict[str, Any]:
    """What a file of centroids says of its making."""
    path = f"tables/density/{phase}/centroids.parquet"
    file = part_files.inspect(str(output), path, (output / path).stat().st_size)
    assert file is not None
    return dict(file.notes)


@pytest.fixture(scope="module")
def samples() -> Samples:
    """Seven blobs that overlap, so that five clusters have to move before they stand still."""
    return blobs((60, 50, 40, 30, 30, 20, 20), (1.0,) * 7, dim=8)


@pytest.fixture(scope="module")
def finished(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the input `in` and a finished run `run`."""
    folder = tmp_path_factory.mktemp("finished")
    entry = write_input(folder / "in", samples)
    run_steps(folder / "run", [entry], f"- density: {{{SETTINGS}}}", part_samples=100)
    return folder


def entry_of(folder: Path) -> dict[str, Any]:
    return {
        "path": f"{folder}/in/*.parquet",
        "image_embeddings": f"{folder}/in/img_emb_*.npy",
    }


# Training on a sample


def test_the_sample_is_what_the_job_says(tmp_path: Path, samples: Samples) -> None:
    entry = write_input(tmp_path / "in", samples, 2)
    steps = f"- density: {{{SETTINGS}, points_per_centroid: 20}}"
    run_steps(tmp_path / "run", [entry], steps, part_samples=40)
    assert notes(tmp_path / "run")["trained_on"] == 100
    risen = notes(tmp_path / "run")["sample_similarity"]  # one an iteration, until nothing moves
    assert 1 < len(risen) <= 100
    assert np.diff(risen).min() > -1e-6
    assert np.allclose(np.linalg.norm(stored(tmp_path / "run"), axis=1), 1, atol=1e-6)


def test_the_sample_has_a_bound_in_bytes(tmp_path: Path) -> None:
    made = blobs((320,), (0.5,), dim=1024)
    entry = write_input(tmp_path / "in", made)
    steps = (
        "- density: {clusters: 2, neighbours: 1, keep: 0.5, iterations: 2, sample_bytes: 1048576}"
    )
    run_steps(tmp_path / "run", [entry], steps)
    assert notes(tmp_path / "run")["trained_on"] == 256
    expected = "300 clusters need 300 samples of 4,096 bytes to train on, and sample_bytes 1,048,576 holds 256: "
    with pytest.raises(JobError, match=re.escape(expected + "set it to at least 1,228,800")):
        run_steps(tmp_path / "b", [entry], steps.replace("clusters: 2", "clusters: 300"))


def test_only_the_living_are_trained_on(tmp_path: Path, samples: Samples) -> None:
    dead = np.arange(len(samples)) % 3 == 0
    vectors = np.where(dead[:, None], unit(np.ones((1, 8))), samples.vectors)
    made = replace(samples, vectors=vectors, columns={"flag": [int(d) for d in dead]})
    steps = f"- signals: [flag]\n- rules: {{flag: {{max: 0}}}}\n- density: {{{SETTINGS}, full_iterations: 2}}"
    run_steps(tmp_path / "a", [write_input(tmp_path / "in-a", made)], steps, part_samples=70)
    alone = made.take(np.flatnonzero(~dead))
    run_steps(tmp_path / "b", [write_input(tmp_path / "in-b", alone)], steps)
    assert (stored(tmp_path / "a") == stored(tmp_path / "b")).all()


# Lloyd iterations over all samples


def lloyd_step(
    vectors: npt.NDArray[np.floating], centroids: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    """One iteration of spherical k-means, cluster by cluster."""
    nearest = (vectors @ centroids.T).argmax(axis=1)
    means = np.array([vectors[nearest == j].sum(axis=0) for j in range(len(centroids))])
    return unit(means)


@pytest.mark.parametrize("rows", [1, 16])
def test_iterations_are_lloyds(
    tmp_path: Path, samples: Samples, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_counts, "ROWS_PER_CLUSTER", rows)
    entry = write_input(tmp_path / "in", samples, 2)
    steps = f"- density: {{{SETTINGS}, iterations: 1, points_per_centroid: 4, full_iterations: 4}}"
    run_steps(tmp_path / "run", [entry], steps, part_samples=60)
    vectors = samples.vectors.astype(np.float16).astype(np.float32)
    vectors = unit(vectors).astype(np.float16).astype(np.float64)
    centroids = stored(tmp_path / "run", "start").astype(np.float64)
    for iteration in range(1, 5):
        similarity = (vectors @ centroids.T).max(axis=1).mean()
        expected = lloyd_step(vectors, centroids)
        found = stored(tmp_path / "run", f"update-{iteration:03d}")
        assert np.allclose(found, expected, atol=1e-6)
        assert np.isclose(
            notes(tmp_path / "run", f"update-{iteration:03d}")["similarity"][-1], similarity
        )
        centroids = found.astype(np.float64)
    assert (stored(tmp_path / "run") == centroids).all()
    told = notes(tmp_path / "run")
    assert (len(told["movement"]), told["reseeded"], told["converged"]) == (4, [0] * 4, False)
    assert told["similarity"] == sorted(told["similarity"])


def test_sums_that_are_added_up_in_a_tree_give_the_same_bytes(
    tmp_path: Path, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_counts, "ROWS_PER_CLUSTER", 1)
    entry = write_input(tmp_path / "in", samples)
    steps = f"- density: {{{SETTINGS}, iterations: 1, points_per_centroid: 4, full_iterations: 2}}"
    run_steps(tmp_path / "flat", [entry], steps, part_samples=20)
    monkeypatch.setattr(lloyd, "TOGETHER", 2)
    run_steps(tmp_path / "tree", [entry], steps, part_samples=20)
    assert (stored(tmp_path / "tree") == stored(tmp_path / "flat")).all()
    folder = tmp_path / "tree/tables/density"
    assert (folder / "sums-002-joined-joined").is_dir()
    assert not list((tmp_path / "flat/tables/density").glob("*joined"))


def test_iterations_end_when_nothing_moves(tmp_path: Path, samples: Samples) -> None:
    entry = write_input(tmp_path / "in", samples)
    run_steps(tmp_path / "run", [entry], f"- density: {{{SETTINGS}, full_iterations: 1000}}")
    told = notes(tmp_path / "run")
    assert told["converged"]
    assert told["movement"][-1] == 0
    assert all(moved > 0 for moved in told["movement"][:-1])
    last = len(told["movement"])
    assert (stored(tmp_path / "run") == stored(tmp_path / "run", f"update-{last:03d}")).all()
    assert not (tmp_path / "run/tables/density" / f"update-{last + 1:03d}").exists()


def test_empty_clusters_take_half_of_the_largest(tmp_path: Path) -> None:
    few = unit(np.eye(3)[[0] * 30 + [1] * 20 + [2] * 10])
    made = Samples([f"{i:032x}" for i in range(60)], few, {})
    entry = write_input(tmp_path / "in", made)
    run_steps(tmp_path / "run", [entry], f"- density: {{{SETTINGS}, full_iterations: 3}}")
    told = notes(tmp_path / "run")
    assert any(told["reseeded"])
    assert not told["converged"]
    said = trained(open_run(str(tmp_path / "run"))) or ""
    assert (
        f"3 iterations over all samples: similarity {told['similarity'][-1]:.4f}, last movement"
        in said
    )
    assert said.endswith(f"{sum(told['reseeded'])} re-seeded, not converged")
    assert np.isfinite(stored(tmp_path / "run")).all()
    # Whatever the empty ones are, each sample lies at the centroid of its own direction.
    assert max(row["distance"] for row in by_uid(tmp_path / "run").values()) < 1e-5


# Taking a finished run's centroids


@pytest.mark.parametrize("step", ["", "#density"])
def test_borrowed_centroids_are_the_same_numbers(tmp_path: Path, finished: Path, step: str) -> None:
    steps = f"- density: {{centroids: '{finished}/run{step}', neighbours: 2, keep: 0.2}}"
    run_steps(tmp_path / "run", [entry_of(finished)], steps)
    assert (stored(tmp_path / "run") == stored(finished / "run")).all()
    ours, theirs = by_uid(tmp_path / "run"), by_uid(finished / "run")
    for uid, row in ours.items():
        assert (row["cluster"], row["distance"], row["rank"]) == tuple(
            theirs[uid][name] for name in ("cluster", "distance", "rank")
        )
    assert sum(row["kept"] for row in ours.values()) == int(0.2 * len(ours))


def test_borrowed_centroids_can_be_refined(tmp_path: Path, finished: Path) -> None:
    steps = (
        f"- density: {{centroids: {finished}/run, neighbours: 2, keep: 0.2, full_iterations: 1}}"
    )
    run_steps(tmp_path / "run", [entry_of(finished)], steps)
    assert (stored(tmp_path / "run", "start") == stored(finished / "run")).all()
    assert len(notes(tmp_path / "run")["movement"]) == 1


def test_their_identity_is_what_they_are_and_not_where(tmp_path: Path, finished: Path) -> None:
    shutil.copytree(finished / "run", tmp_path / "moved")
    remote = fsspec.filesystem("memory")
    for path in sorted((finished / "run").rglob("*")):
        if path.is_file():
            remote.pipe(f"/borrowed/{path.relative_to(finished / 'run')}", path.read_bytes())
    steps = "- density: {centroids: PLACE, neighbours: 2, keep: 0.2}"
    ran = [
        run_steps(tmp_path / "run", [entry_of(finished)], steps.replace("PLACE", place)).tasks_run
        for place in (f"{finished}/run", f"{tmp_path}/moved", "memory://borrowed")
    ]
    assert ran[0] > 0
    assert ran[1:] == [0, 0]
    remote.rm("/borrowed", recursive=True)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ("centroids: RUN/no", JobError, "`RUN/no`: no finished run is there: name a run directory"),
        (
            "centroids: RUN#dens",
            JobError,
            "has no centroids of a step `dens`; did you mean `density`?: it has those of density",
        ),
        (
            "centroids: RUN, clusters: 6",
            JobError,
            "clusters is 6, but `RUN` has 5 centroids: set `clusters: 5`, or leave it out",
        ),
        ("centroids: RUN, neighbours: 5", JobError, "5 neighbours of each of 5 clusters"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(
    tmp_path: Path, finished: Path, settings: str, error: type[Exception], message: str
) -> None:
    text = f"{EMBED}\n- density: {{keep: 0.2, {settings.replace('RUN', f'{finished}/run')}}}"
    with pytest.raises(error, match=re.escape(message.replace("RUN", f"{finished}/run"))) as caught:
        make_plan(tmp_path / "run", "", text, input=[entry_of(finished)])
    assert "\n" not in str(caught.value)


def test_two_steps_with_centroids_have_to_be_told_apart(tmp_path: Path, finished: Path) -> None:
    shutil.copytree(finished / "run", tmp_path / "old")
    shutil.copytree(finished / "run/tables/density", tmp_path / "old/tables/fine")
    steps = (
        f"{EMBED}\n- density: {{name: concepts, keep: 0.2, neighbours: 2, centroids: {tmp_path}/old"
    )
    with pytest.raises(JobError, match=r"of a step `concepts`.*: it has those of density, fine"):
        make_plan(tmp_path / "run", "", steps + "}", input=[entry_of(finished)])
    run_here(make_plan(tmp_path / "run", "", steps + "#fine}", input=[entry_of(finished)]))


def test_centroids_of_another_width_do_not_fit(tmp_path: Path, finished: Path) -> None:
    entry = write_input(tmp_path / "in", blobs((30,), (0.5,), dim=4))
    steps = f"- density: {{centroids: {finished}/run, neighbours: 2, keep: 0.2}}"
    with pytest.raises(JobError, match=r"run` have 8 dimensions, the embedding has 4: use"):
        run_steps(tmp_path / "run", [entry], steps)


def test_centroids_that_change_during_the_run_are_refused(tmp_path: Path, finished: Path) -> None:
    path = "tables/density/train/centroids.parquet"
    size = (finished / "run" / path).stat().st_size
    loan = concepts.Loan("another", 8, 5, root=str(finished / "run"), path=path, bytes=size)
    task = Task.whole("centroids", {}, loan)
    with pytest.raises(StateError, match="has changed since this run began"):
        next(concepts.borrow(TaskIo(str(tmp_path), task, "x")))


def test_a_damaged_file_of_centroids_is_told(tmp_path: Path, finished: Path) -> None:
    shutil.copytree(finished / "run", tmp_path / "old")
    path = tmp_path / "old/tables/density/train/centroids.parquet"
    raw = bytearray(path.read_bytes())
    # The least and the greatest stand in the statistics, too, which no checksum covers.
    middle = sorted(row.tobytes() for row in stored(tmp_path / "old"))[2]
    raw[raw.index(middle)] ^= 1
    path.write_bytes(raw)
    steps = f"- density: {{centroids: {tmp_path}/old, neighbours: 2, keep: 0.2}}"
    with pytest.raises(StateError, match=r"is damaged .*: run that job again"):
        run_steps(tmp_path / "run", [entry_of(finished)], steps)
    path.write_bytes(raw[:100])
    with pytest.raises(StateError, match="is damaged: run that job again"):
        run_steps(tmp_path / "b", [entry_of(finished)], steps)


def test_more_borrowed_clusters_than_samples_cannot_be_refined(
    tmp_path: Path, finished: Path, samples: Samples
) -> None:
    entry = write_input(tmp_path / "in", samples.take(np.arange(4)))
    steps = f"- density: {{centroids: {finished}/run, neighbours: 2, keep: 2"
    run_steps(tmp_path / "run", [entry], steps + "}")
    with pytest.raises(JobError, match="full_iterations over 4 samples cannot fill 5 clusters"):
        run_steps(tmp_path / "run", [entry], steps + ", full_iterations: 1}")


def test_semantic_duplicates_borrow_too(tmp_path: Path, finished: Path) -> None:
    steps = f"- semantic_duplicates: {{centroids: {finished}/run}}"
    run_steps(tmp_path / "run", [entry_of(finished)], steps)
    assigned = table(tmp_path / "run", "semantic_duplicates", "assign")
    theirs = table(finished / "run", "density", "assign")
    assert sorted(assigned["cluster"].to_pylist()) == sorted(theirs["cluster"].to_pylist())


def test_inputs_of_two_widths_stop_before_anything_is_trained(tmp_path: Path) -> None:
    first = write_input(tmp_path / "a", blobs((20,), (0.5,), dim=8))
    second = write_input(tmp_path / "b", blobs((20,), (0.5,), dim=6, seed=1))
    with pytest.raises(InputError, match=r"of 6 numbers, but .* has 8"):
        run_steps(
            tmp_path / "run",
            [{**first, "name": "a"}, {**second, "name": "b"}],
            "- semantic_duplicates: {clusters: 2}",
        )


# Concepts of pictures and captions


def two_sided(folder: Path, samples: Samples, captions: npt.NDArray[np.float32]) -> dict[str, Any]:
    """An input with vectors of captions beside those of pictures."""
    entry = write_input(folder, samples, 2)
    for number, rows in enumerate(np.array_split(np.arange(len(samples)), 2)):
        np.save(folder / f"text_emb_{number:05d}.npy", captions[rows].astype(np.float16))
    return {**entry, "text_embeddings": f"{folder}/text_emb_*.npy"}


@pytest.mark.parametrize("kind", ["density", "prototypes"])
def test_both_sides_are_clustered_as_one_vector_of_both(
    tmp_path: Path, samples: Samples, kind: str
) -> None:
    captions = blobs((90, 80, 80), (0.8,) * 3, dim=8, seed=5).vectors
    more = "neighbours: 2, " if kind == "density" else ""
    steps = f"- {kind}: {{clusters: 5, {more}keep: 0.5, full_iterations: 3, SIDE}}"
    entry = two_sided(tmp_path / "in", samples, captions)
    run_steps(tmp_path / "a", [entry], steps.replace("SIDE", "side: both"), part_samples=60)

    halves = [
        unit(side.astype(np.float16).astype(np.float32)) for side in (samples.vectors, captions)
    ]
    joined = replace(samples, vectors=np.concatenate(halves, axis=1) / np.sqrt(2, dtype=np.float32))
    steps = steps.replace("SIDE", "side: image")
    run_steps(tmp_path / "b", [write_input(tmp_path / "in-b", joined)], steps)
    both, one = by_uid(tmp_path / "a"), by_uid(tmp_path / "b")
    assert {uid: (row["cluster"], row["rank"]) for uid, row in both.items()} == {
        uid: (row["cluster"], row["rank"]) for uid, row in one.items()
    }
    assert {row["cluster"] for row in both.values()} == set(range(5))


def test_both_sides_need_vectors_of_captions(tmp_path: Path, samples: Samples) -> None:
    entry = write_input(tmp_path / "in", samples)
    with pytest.raises(
        JobError, match="density: side: both needs vectors of captions, and `embed` has none"
    ):
        run_steps(tmp_path / "run", [entry], f"- density: {{{SETTINGS}, side: both}}")


def test_centroids_of_both_sides_are_lent_to_both_sides_alone(
    tmp_path: Path, samples: Samples
) -> None:
    entry = two_sided(tmp_path / "in", samples, samples.vectors)
    run_steps(tmp_path / "a", [entry], f"- density: {{{SETTINGS}, side: both}}")
    borrow = f"neighbours: 2, keep: 0.5, centroids: {tmp_path}/a"
    run_steps(tmp_path / "b", [entry], f"- density: {{{borrow}, side: both}}")
    assert by_uid(tmp_path / "a") == by_uid(tmp_path / "b")
    with pytest.raises(JobError, match="have 16 dimensions, the embedding has 8"):
        run_steps(tmp_path / "c", [entry], f"- density: {{{borrow}}}")
