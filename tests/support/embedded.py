"""What the tests of clusters and selectors share: parquet metadata with embeddings beside it, and results by uid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.runs import account
from tests.support.running import ledger, make_plan, run_here

EMBED = "- embed: {encoder: precomputed}"


@dataclass(frozen=True)
class Samples:
    """``uid`` is n times 32 hex digits, ``vectors`` (n, d); ``columns`` further columns of the metadata."""

    uid: list[str]
    vectors: npt.NDArray[np.floating]
    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.uid)

    def take(self, rows: npt.NDArray[np.integer]) -> Samples:
        """Some of them, in that order."""
        columns = {name: [values[i] for i in rows] for name, values in self.columns.items()}
        return Samples([self.uid[i] for i in rows], self.vectors[rows], columns)


def unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Rows of length 1."""
    rows: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return rows.astype(np.float32)


def blobs(
    sizes: Sequence[int], spreads: Sequence[float], dim: int = 16, seed: int = 0, **columns: Any
) -> Samples:
    """Clustered unit vectors: one blob for each of ``sizes``, as wide as ``spreads`` says; uids are drawn."""
    random = np.random.default_rng(seed)
    centres = unit(random.standard_normal((len(sizes), dim)))
    rows = [
        centre + spread * random.standard_normal((size, dim)) / np.sqrt(dim)
        for centre, size, spread in zip(centres, sizes, spreads, strict=True)
    ]
    vectors = unit(np.concatenate(rows))
    shuffled = random.permutation(len(vectors))
    uid = [random.bytes(16).hex() for _ in vectors]
    return Samples(uid, vectors[shuffled], columns)


def write_input(folder: Path, samples: Samples, files: int = 1) -> dict[str, Any]:
    """``files`` parquet files and as many .npy; returns the job's input entry."""
    folder.mkdir(parents=True)
    for number, rows in enumerate(np.array_split(np.arange(len(samples)), files)):
        some = samples.take(rows)
        text = some.columns.get("text", [f"a caption of {uid}" for uid in some.uid])
        table = pa.table({"uid": some.uid, **some.columns, "text": text})
        pq.write_table(table, folder / f"{number:05d}.parquet")
        np.save(folder / f"img_emb_{number:05d}.npy", some.vectors.astype(np.float16))
    return {"path": f"{folder}/*.parquet", "image_embeddings": f"{folder}/img_emb_*.npy"}


def run_steps(
    output: Path, entries: Sequence[Mapping[str, Any]], steps: str, **job: Any
) -> account.Result:
    """The embeddings, then ``steps`` (lines of a YAML list), in this process."""
    made = make_plan(output, "", f"{EMBED}\n{steps}", input=list(entries), **job)
    return run_here(made)


def by_uid(output: Path) -> dict[str, dict[str, Any]]:
    """The ledger's rows by uid, without what depends on the order of the input."""
    order = {"sid", "source", "key", "uid"}
    return {
        row["uid"]: {name: value for name, value in row.items() if name not in order}
        for row in ledger(output)
    }


def kept(output: Path) -> set[str]:
    """The uids that are left."""
    return {uid for uid, row in by_uid(output).items() if row["kept"]}


def numbered(count: int, **columns: Any) -> Samples:
    """Samples with uids 0, 1, 2 ..., all with one embedding."""
    return Samples([f"{i:032x}" for i in range(count)], np.ones((count, 4)), columns)


def numbers(output: Path) -> list[int]:
    """Which of ``numbered`` are kept."""
    return sorted(int(uid, 16) for uid in kept(output))


def run_one(folder: Path, samples: Samples, steps: str, **job: Any) -> list[int]:
    """Write the input, run the steps, and say which samples are kept."""
    if not (folder / "in").exists():
        write_input(folder / "in", samples, 2)
    entry = {
        "path": f"{folder}/in/*.parquet",
        "image_embeddings": f"{folder}/in/img_emb_*.npy",
    }
    run_steps(folder / "run", [entry], steps, **{"part_samples": 16, **job})
    return numbers(folder / "run")
