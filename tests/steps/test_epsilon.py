"""The least epsilon finds every equal vector, of any length; a smaller one is refused wherever it can be given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tamis.pipeline.algorithms.choosing import target
from tamis.pipeline.algorithms.clusters import kmeans, semantic
from tamis.pipeline.audit.again.whatif import whatif
from tamis.pipeline.audit.browse.answers import Browser
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.steps.shared.config import RESOLUTION, check_epsilon
from tamis.schemas.errors import InputError, JobError
from tests.support.embedded import blobs, by_uid, run_steps, write_input

SAID = r"epsilon is 1e-09: from 0\.000001 to 1, for below it not even equal vectors are told"
STEPS = """
- exclude: {{name: tests, list: {listed}, on: embedding, epsilon: {exclude}}}
- semantic_duplicates: {{clusters: 3, epsilon: {semantic}}}"""


@pytest.mark.parametrize("dim", [2, 16, 512, 768, 2048])
def test_equal_vectors_are_within_the_least_epsilon(dim: int) -> None:
    wide = np.random.default_rng(dim).standard_normal((300, dim))
    stored = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float16)
    single = stored.astype(np.float32)
    listed = kmeans.Centroids(single / np.linalg.norm(single, axis=1, keepdims=True))
    cosine, _ = target.nearest(stored, listed)
    assert (1 - cosine <= RESOLUTION).all()
    twice = np.concatenate([stored, stored])
    similarity, _ = semantic.max_similarity(twice, np.arange(600))
    assert semantic.dropped(similarity[300:], RESOLUTION).all()
    assert RESOLUTION == semantic.RESOLUTION


@pytest.mark.parametrize("value", [0.0, 1e-9, 9.9e-7, 1.001, -1.0])
def test_what_is_no_epsilon_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"from 0\.000001 to 1"):
        check_epsilon(value)


def run(folder: Path, exclude: float = RESOLUTION, semantic: float = RESOLUTION) -> dict[str, Any]:
    pool = blobs([40, 30, 20], [0.5, 0.5, 0.5], dim=16)
    vectors = pool.vectors.copy()
    vectors[50:70] = vectors[30:50]
    write_input(folder / "in", replace(pool, vectors=vectors), files=2)
    np.save(folder / "listed.npy", vectors[:10].astype(np.float16))
    entry = {"path": f"{folder}/in/*.parquet", "image_embeddings": f"{folder}/in/img_emb_*.npy"}
    steps = STEPS.format(listed=folder / "listed.npy", exclude=exclude, semantic=semantic)
    run_steps(folder / "run", [entry], steps.strip(), part_samples=13)
    return by_uid(folder / "run")


def test_equal_pictures_are_found_and_less_is_refused_when_it_is_asked_again(
    tmp_path: Path,
) -> None:
    reasons = [row["reason"] for row in run(tmp_path).values()]
    assert reasons.count("excluded") == 10
    assert reasons.count("semantic_duplicate") == 20
    finished = open_run(str(tmp_path / "run"))
    browser = Browser(finished, lambda story: story)
    for step, signal, side in (
        ("tests", "tests", "min"),
        ("semantic_duplicates", "semantic_similarity", "max"),
    ):
        with pytest.raises(JobError, match=SAID):
            whatif(finished, [f"{step}.epsilon=1e-9"])
        with browser.cursor() as cursor, pytest.raises(InputError, match=SAID):
            browser.thresholds.moved(cursor, step, signal, side, 1e-9)


@pytest.mark.parametrize("step", ["exclude", "semantic"])
def test_a_job_with_less_is_refused(step: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=SAID):
        run(tmp_path, **{step: 1e-9})
