"""Every path of a job is found, and made whole for a cluster that runs it in another directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.jobs.cluster.needs import other_files
from tamis.jobs.job_files.paths import paths_of, secret_warning, with_absolute_paths
from tamis.schemas.parse import parse_job

JOB = """
name: a
input:
  - {path: [in/*.tar, "s3://b/{0..9}.tar"], name: x}
  - {path: meta/*.parquet, name: y, image_embeddings: img/*.npy, text_embeddings: txt/*.npy}
output: runs/a
steps:
  - signals: {names: [words, mine], heads: {mine: heads/mine.npz}}
  - embed: {name: tag, encoder: "open_clip:ViT-B-32/openai"}
  - embed: {name: file, encoder: "open_clip:ViT-B-32/models/clip.pt"}
  - embed: {name: timm, encoder: "timm:resnet18@models/resnet.safetensors"}
  - semantic_duplicates: {embedding: file, centroids: runs/b#fine}
  - importance: {target: good.txt, keep: 0.5}
  - density: {embedding: file, keep: 0.5, centroids: "s3://b/run#density"}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The job's directory, with its models and its target; a file is called like published weights."""
    for name in ("models/clip.pt", "models/resnet.safetensors", "heads/mine.npz", "openai"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_job_is_shipped_with_whole_paths(here: Path) -> None:
    job = with_absolute_paths(parse_job(JOB, "job"))
    assert [path.removeprefix(f"{here}/") for path in paths_of(job)] == [
        *("in/*.tar", "s3://b/{0..9}.tar", "meta/*.parquet", "img/*.npy", "txt/*.npy", "runs/a"),
        *("heads/mine.npz", "models/clip.pt", "models/resnet.safetensors"),
        *("runs/b", "good.txt", "s3://b/run"),
    ]
    assert all(path.startswith((f"{here}/", "s3://")) for path in paths_of(job))
    encoders = [step.encoder for step in job.embeds]
    assert encoders == [
        "open_clip:ViT-B-32/openai",
        f"open_clip:ViT-B-32/{here}/models/clip.pt",
        f"timm:resnet18@{here}/models/resnet.safetensors",
    ]
    steps = {step.name: step for step in job.steps}
    assert steps["semantic_duplicates"].centroids == f"{here}/runs/b#fine"
    assert steps["density"].centroids == "s3://b/run#density"
    assert with_absolute_paths(job) == job


def test_files_beside_the_input_are_tried_from_the_cluster(here: Path) -> None:
    job = with_absolute_paths(parse_job(JOB, "job"))
    names = ("heads/mine.npz", "models/clip.pt", "models/resnet.safetensors")
    assert other_files(job.model_copy(update={"input": job.input[:1]})) == [
        f"{here}/{name}" for name in names
    ]


def test_secrets_in_urls_are_told_without_them() -> None:
    path = "https://b.example.org/x.tar?X-Amz-Signature=hidden"
    text = f"name: a\ninput: [{{path: '{path}'}}]\noutput: /o\nsteps: [signals: [words]]"
    told = secret_warning(parse_job(text, "job"), "the dashboard", "--env")
    assert told
    assert "the dashboard" in told
    assert "hidden" not in told
    plain = parse_job(text.replace("?X-Amz-Signature=hidden", ""), "job")
    assert secret_warning(plain, "the dashboard", "--env") is None
