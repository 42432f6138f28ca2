"""Pairs whose two embeddings are different linear views of one hidden meaning: what heads can learn to undo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.evaluate.pairs import Pairs

HIDDEN, DIM = 24, 48

Floats = npt.NDArray[np.float32]


def meanings(count: int, seed: int = 0) -> Floats:
    """(count, HIDDEN) points, no two alike."""
    return np.random.default_rng(seed).normal(size=(count, HIDDEN)).astype(np.float32)


def views(meaning: Floats, noise: float = 0.3, seed: int = 1) -> tuple[Floats, Floats]:
    """(n, DIM) of a picture and of a caption: unit rows, each view rotated in its own way, with its own noise."""
    fixed = np.random.default_rng(99)
    random = np.random.default_rng(seed)
    made = []
    for _ in range(2):
        view = meaning @ fixed.normal(size=(HIDDEN, DIM)) / HIDDEN**0.5
        view += noise * random.normal(size=view.shape)
        made.append((view / np.linalg.norm(view, axis=1, keepdims=True)).astype(np.float32))
    return made[0], made[1]


def pairs(image: Floats, caption: Floats, candidate: npt.NDArray[np.bool_] | None = None) -> Pairs:
    """Pairs that never were in a run: captions of their own, no pictures, one concept."""
    count = len(image)
    random = np.random.default_rng(7)
    uid = random.integers(0, 2**63, (count, 2), dtype=np.uint64)
    uid = uid[np.lexsort((uid[:, 1], uid[:, 0]))]
    nothing = np.full(count, None, dtype=object)
    every = np.ones(count, dtype=bool)
    return Pairs(
        uid=uid,
        text=captions(count),
        sha256=nothing,
        pixels=nothing,
        phash=nothing,
        layout=nothing,
        image=image.astype(np.float16),
        caption=caption.astype(np.float16),
        candidate=every if candidate is None else candidate,
        kept=every,
        label=nothing,
        origin=nothing,
        signals=np.stack([np.arange(count, dtype=float)] * 2, axis=1),
        cluster=np.zeros(count, np.int32),
        distance=np.linspace(0, 1, count, dtype=np.float32),
        width=np.full(count, np.nan),
        height=np.full(count, np.nan),
        seen=np.empty((count, 0), np.float16),
        told=np.empty((count, 0), np.float16),
    )


def captions(count: int) -> npt.NDArray[np.object_]:
    """So many captions, none like another."""
    random = np.random.default_rng(5)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    found = np.empty(count, dtype=object)
    found[:] = ["".join(row) for row in letters[random.integers(0, 26, (count, 24))]]
    return found


def write_input(
    folder: Path, image: Floats, caption: Floats, texts: Sequence[str], **columns: Any
) -> dict[str, Any]:
    """A parquet file with both embeddings beside it; the job's input entry."""
    folder.mkdir(parents=True)
    np.savez(folder / "0.npz", l14_img=image.astype("f2"), l14_txt=caption.astype("f2"))
    keys = [f"{folder.name}-{number}" for number in range(len(image))]
    pq.write_table(pa.table({"key": keys, "text": list(texts), **columns}), folder / "0.parquet")
    return {"path": f"{folder}/*.parquet", "features": True}
