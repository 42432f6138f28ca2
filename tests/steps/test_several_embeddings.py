"""An input with embeddings of several models: steps name the one that they take, and each is judged by its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tamis
from tamis.jobs.cli.app import main
from tamis.jobs.job_files.paths import paths_of
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.runs.plan import Plan
from tamis.schemas.errors import InputError, JobError
from tests.support.embedded import unit
from tests.support.running import ledger, make_plan, run_here

ROWS, FILES = 30, 2

STEPS = """
  - embed: {encoder: precomputed}
  - embed: {name: small, encoder: "precomputed:b32", as: b32}
  - rules: {b32_similarity: {min: 0.0}}
  - semantic_duplicates: {embedding: embed, clusters: 3, epsilon: 0.3}
  - write"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Metadata in two files, with pictures' vectors of one model, and both sides' of another in members of .npz."""
    random = np.random.default_rng(0)
    (tmp_path / "large").mkdir()
    for number in range(FILES):
        captions = [f"caption {number} {i}" for i in range(ROWS)]
        uids = [f"{number:016x}{i:016x}" for i in range(ROWS)]
        table = pa.table({"text": captions, "uid": uids})
        pq.write_table(table, tmp_path / f"{number}.parquet")
        np.save(tmp_path / f"large/{number}.npy", random.normal(size=(ROWS, 12)))
        image, text = (random.normal(size=(ROWS, 6)) for _ in range(2))
        np.savez(tmp_path / f"{number}.npz", b32_img=image, b32_txt=text)
    return tmp_path


def entry_of(folder: Path, **changed: Any) -> dict[str, Any]:
    return {
        "path": f"{folder}/*.parquet",
        "image_embeddings": f"{folder}/large/*.npy",
        "embeddings": {
            "b32": {"image": f"{folder}/*.npz#b32_img", "text": f"{folder}/*.npz#b32_txt"}
        },
        **changed,
    }


def planned(folder: Path, steps: str = STEPS, **changed: Any) -> Plan:
    return make_plan(folder / "run", "", steps, input=[entry_of(folder, **changed)])


def stored(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """All vectors, of halves as they are stored, in the order of the files."""
    found: dict[str, list[Any]] = {"large": [], "b32_img": [], "b32_txt": []}
    for number in range(FILES):
        found["large"].append(np.load(folder / f"large/{number}.npy"))
        with np.load(folder / f"{number}.npz") as archive:
            for name in archive.files:
                found[name].append(archive[name])
    return {name: unit(np.concatenate(arrays)) for name, arrays in found.items()}


def test_each_step_takes_the_embedding_that_it_names(folder: Path) -> None:
    run_here(planned(folder))
    vectors = stored(folder)
    rows = sorted(ledger(folder / "run"), key=lambda row: row["uid"])
    cosine = np.einsum("ij,ij->i", vectors["b32_img"], vectors["b32_txt"])
    assert np.allclose([row["b32_similarity"] for row in rows], cosine, atol=1e-3)
    assert [row["step"] == "rules" for row in rows] == (cosine < 0).tolist()
    assert "clip_similarity" not in rows[0]
    run = tamis.open(folder / "run")
    large = run.embeddings(among="all", embedding="embed")
    small = run.embeddings(among="all", embedding="b32")
    assert (large["image"].type.list_size, small["image"].type.list_size) == (12, 6)
    order = np.argsort(large["uid"].to_pylist())
    found = np.stack(large["image"].to_numpy())[order].astype(np.float32)
    assert np.allclose(found, vectors["large"], atol=1e-3)
    # Concepts are those of the large model: each sample lies in that of the nearest centroid.
    centroids = run.sql("SELECT centroid FROM semantic_duplicates.train")["centroid"]
    nearest = np.stack([np.frombuffer(bytes.fromhex(c), "<f4") for c in centroids])
    assert nearest.shape == (3, 12)
    halves = found.astype(np.float16).astype(np.float32)
    expected, _ = kmeans.assign(halves, nearest)
    for row, cluster in zip(rows, expected.tolist(), strict=True):
        assert row["cluster"] in {None, cluster}


def test_one_that_is_named_alone_is_the_job_s_similarity(folder: Path) -> None:
    steps = '\n  - embed: {encoder: "precomputed:b32"}\n  - score: {signal: clip_similarity, keep: 0.5}\n  - write'
    run_here(planned(folder, steps, image_embeddings=None))
    vectors = stored(folder)
    cosine = np.einsum("ij,ij->i", vectors["b32_img"], vectors["b32_txt"])
    rows = sorted(ledger(folder / "run"), key=lambda row: row["uid"])
    kept = {i for i, row in enumerate(rows) if row["kept"]}
    assert kept == set(np.argsort(-cosine)[: len(rows) // 2].tolist())


def test_what_if_and_verify_know_all_of_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(planned(folder))
    (folder / "run/job.yaml").write_text(json.dumps(_job(folder)))
    run = tamis.open(folder / "run")
    assert run.whatif({"rules.b32_similarity.min": -2}).kept_after > run.kept
    codes = []
    for change in (False, True):
        if change:
            with np.load(folder / "0.npz") as archive:
                image, text = archive["b32_img"], archive["b32_txt"]
            np.savez(folder / "0.npz", b32_img=-image, b32_txt=-text)
        with pytest.raises(SystemExit) as stop:
            main(["verify", str(folder / "run"), "--deep", "--json"])
        told = capsys.readouterr().out
        codes.append((stop.value.code, "0.npz#b32_img" in told, "0.npy" in told))
    assert codes == [(0, False, False), (1, True, False)]


def _job(folder: Path) -> dict[str, Any]:
    job: dict[str, Any] = json.loads(
        planned(folder).job.model_dump_json(by_alias=True, exclude_none=True)
    )
    kinds = ["embed", "embed", "rules", "semantic_duplicates", "write"]
    job["steps"] = [{kind: step} for kind, step in zip(kinds, job["steps"], strict=True)]
    return job


@pytest.mark.parametrize(
    ("encoder", "changed", "message"),
    [
        (
            "precomputed:b23",
            {},
            r"no embeddings of that name; did you mean `b32`\?: give its input",
        ),
        (
            "precomputed",
            {"image_embeddings": None},
            r"comes without: .*, or name one: precomputed:b32",
        ),
        ("precomputed:b32", {"embeddings": {}}, r"embeddings: {b32: {image: PATTERN}}"),
    ],
)
def test_a_name_that_the_input_has_not_is_refused(
    folder: Path, encoder: str, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobError, match=message):
        planned(folder, f'\n  - embed: {{encoder: "{encoder}"}}\n  - write', **changed)


def test_embeddings_of_other_rows_are_refused_by_their_name(folder: Path) -> None:
    np.savez(folder / "1.npz", b32_img=np.ones((ROWS - 1, 6)), b32_txt=np.ones((ROWS, 6)))
    with pytest.raises(InputError, match=r"1.npz#b32_img`: 29 embeddings for the 30 rows"):
        planned(folder)


def test_the_paths_of_all_are_the_job_s(folder: Path) -> None:
    assert f"{folder}/*.npz#b32_txt" in paths_of(planned(folder).job)
