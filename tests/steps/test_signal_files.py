"""The files that signals read: one that is gone, one of which nothing can be said, heads that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from tamis.pipeline.steps.signals.files import sha256_of
from tamis.schemas.errors import JobError, StorageError
from tests.support.running import Sample, make_plan, picture, write_tar


def test_a_file_that_cannot_be_read_counts_as_gone_only_where_it_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    below = str(tmp_path / "file" / "head.npz")
    with pytest.raises(StorageError, match=r"head\.npz` cannot be read"):
        sha256_of(below, known=False)
    assert sha256_of(below, known=True) is None
    assert sha256_of(str(tmp_path / "gone.npz"), known=False) is None


def ones(*shape: int) -> NDArray[np.float32]:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    "arrays",
    [
        {"weight": ones(1, 300), "bias": ones(1)},
        {"weight": ones(1, 900), "bias": ones(1), "joint": ones(1)},
        {"image": ones(8, 300), "text": ones(8, 300)},
    ],
)
def test_a_head_for_another_encoder_is_refused_before_anything_is_embedded(
    tmp_path: Path, arrays: dict[str, NDArray[np.float32]]
) -> None:
    (tmp_path / "head.safetensors").write_bytes(save(arrays))
    tar = write_tar(tmp_path / "a.tar", [Sample("a", picture(1), "a caption", {})])
    steps = f"""
  - embed: {{encoder: demo}}
  - signals: {{names: [good], heads: {{good: {tmp_path}/head.safetensors}}}}"""
    with pytest.raises(
        JobError, match=r"head\.safetensors takes vectors of 300 numbers, and `embed` makes 256"
    ):
        make_plan(tmp_path / "run", tar, steps)


def given(tmp_path: Path, sides: list[list[str]]) -> list[dict[str, str]]:
    """Entries with vectors of these sides."""
    entries = []
    for number, of in enumerate(sides):
        pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / f"{number}.parquet")
        entry = {"name": f"n{number}", "path": str(tmp_path / f"{number}.parquet")}
        for side in of:
            np.save(tmp_path / f"{number}-{side}.npy", np.eye(2, 6, dtype=np.float16))
            entry[f"{side}_embeddings"] = str(tmp_path / f"{number}-{side}.npy")
        entries.append(entry)
    return entries


OF_PAIRS = """
  - embed: {{encoder: precomputed}}
  - signals: {{names: [fit], heads: {{fit: {path}/pair.npz}}}}"""


@pytest.mark.parametrize("second", [["image"], ["image", "text"]])
def test_a_head_of_pairs_is_refused_where_captions_have_no_vectors(
    tmp_path: Path, second: list[str]
) -> None:
    np.savez(tmp_path / "pair.npz", image=np.eye(6), text=np.eye(6))
    entries = given(tmp_path, [["image"], second])
    with pytest.raises(JobError, match="captions too, and `embed` does not make them of every"):
        make_plan(tmp_path / "run", "", OF_PAIRS.format(path=tmp_path), input=entries)
