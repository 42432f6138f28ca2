"""Embeddings beside tars belong to samples by their place in the tar, as clip-retrieval writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from tamis.schemas.errors import InputError
from tests.support.running import Sample, ledger, make_plan, picture, run_here, write_tar

STEPS = "  - embed: {encoder: precomputed}\n  - write"


def inputs(folder: Path) -> list[dict[str, str]]:
    """The job's input: the tars of ``folder``, and the embeddings of pictures and captions beside them."""
    return [
        {
            "path": f"{folder}/*.tar",
            "image_embeddings": f"{folder}/img_emb/*.npy",
            "text_embeddings": f"{folder}/text_emb/*.npy",
        }
    ]


def made(folder: Path, counts: tuple[int, ...] = (3, 2)) -> npt.NDArray[np.float32]:
    """Two tars of three and of two samples, the second of which is broken; returns their embeddings, one a sample."""
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    for name in ("img_emb", "text_emb"):
        (folder / name).mkdir(parents=True)
    first = 0
    for number, count in enumerate(counts):
        samples = [
            Sample(f"k{i}", picture(i) if i != 1 else b"broken", f"caption {i}", {})
            for i in range(first, first + (3, 2)[number])
        ]
        write_tar(folder / f"{number}.tar", samples)
        for name in ("img_emb", "text_emb"):
            np.save(folder / name / f"{number}.npy", vectors[first : first + count])
        first += (3, 2)[number]
    return vectors


def test_every_sample_has_its_own(tmp_path: Path) -> None:
    vectors = made(tmp_path / "in")
    plan = make_plan(tmp_path / "run", "", STEPS, input=inputs(tmp_path / "in"))
    run_here(plan)
    rows = ledger(tmp_path / "run")
    assert [row["reason"] for row in rows] == [None, "undecodable_image", None, None, None]
    stored = [
        row["image"]
        for path in sorted((tmp_path / "run/tables/embed/vectors").glob("part-*.parquet"))
        for row in pq.ParquetFile(path).read().to_pylist()
    ]
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    wanted = [unit.astype(np.float16).tobytes() for unit in units[[0, 2, 3, 4]]]
    assert stored == wanted
    assert sorted(path.name for path in (tmp_path / "run/shards").iterdir()) == [
        "00000.parquet",
        "00000.tar",
        "00000_stats.json",
    ]


def test_more_embeddings_than_samples_are_refused(tmp_path: Path) -> None:
    made(tmp_path / "in", (3, 2))
    np.save(tmp_path / "in/img_emb/1.npy", np.ones((3, 8), np.float32))
    plan = make_plan(tmp_path / "run", "", STEPS, input=inputs(tmp_path / "in"))
    with pytest.raises(InputError, match=r"img_emb/1.npy`: 3 embeddings for the 2 rows of .*1.tar"):
        run_here(plan)
