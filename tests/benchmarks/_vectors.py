"""Vectors for the benchmarks of `index` by their number: made ones, or those of a run with copies; on disk as an input.

Whoever asks for the same numbers gets the same vectors, so that a benchmark goes on where it was stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.audit.search.stored import Embedding
from tamis.pipeline.audit.search.wanted import Wanted

TOPICS, HIDDEN, FILE_ROWS = 500, 48, 50_000
SPREAD, NOISE = 1.0, 0.3
"""Lengths of what is drawn about a topic, of length 1, among the hidden numbers; and of the noise in all dimensions."""

Floats = npt.NDArray[np.float32]


class Vectors(Protocol):
    """Unit vectors, and queries that are not among them."""

    dim: int

    def rows(self, first: int, count: int) -> Floats:
        """``count`` vectors from a number on, float32 (count, dim); which they are depends on both."""
        ...

    def queries(self, count: int) -> Floats:
        """Vectors to look for, float32 (count, dim)."""
        ...


def unit(rows: npt.NDArray[np.floating]) -> Floats:
    """The rows at length 1."""
    found: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def axes(hidden: int, dim: int) -> Floats:
    """Orthonormal directions, float32 (hidden, dim): what is turned by them keeps its cosines."""
    drawn = np.random.default_rng(0).standard_normal((dim, hidden))
    return np.linalg.qr(drawn)[0].T.astype(np.float32)


def noise(draw: np.random.Generator, count: int, dim: int) -> Floats:
    """Directions of length NOISE, in all dimensions."""
    return NOISE * unit(draw.standard_normal((count, dim), np.float32))


class Made:
    """Hidden numbers about topics, turned into all dimensions, with noise; queries are made alike."""

    FAR = 1 << 40

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.topics = unit(np.random.default_rng(0).standard_normal((TOPICS, HIDDEN)))
        self.axes = axes(HIDDEN, dim)

    def rows(self, first: int, count: int) -> Floats:
        """See ``Vectors``."""
        draw = np.random.default_rng([1, first, count])
        of = draw.integers(0, TOPICS, count)
        hidden = self.topics[of] + SPREAD * unit(draw.standard_normal((count, HIDDEN)))
        return unit(unit(hidden) @ self.axes + noise(draw, count, self.dim))

    def queries(self, count: int) -> Floats:
        """See ``Vectors``."""
        return self.rows(self.FAR, count)


class Copies:
    """The pictures' vectors of a finished run, over and over, each time with other noise; queries of another run."""

    def __init__(self, run: str, held: str, dim: int) -> None:
        self.dim = dim
        self.own, self.held = pictures(run), pictures(held)
        self.axes = axes(self.own.shape[1], dim)

    def rows(self, first: int, count: int) -> Floats:
        """See ``Vectors``."""
        draw = np.random.default_rng([1, first, count])
        of = np.arange(first, first + count) % len(self.own)
        return unit(self.own[of] @ self.axes + noise(draw, count, self.dim))

    def queries(self, count: int) -> Floats:
        """See ``Vectors``: spread evenly over the other run, without noise."""
        at = np.linspace(0, len(self.held) - 1, count).round().astype(int)
        return unit(self.held[at] @ self.axes)


def pictures(run: str) -> Floats:
    """All stored vectors of a run's pictures, at length 1."""
    opened = open_run(run)
    blocks = Embedding(opened).blocks("image", Wanted(opened, "all"))
    return unit(np.concatenate([block.vectors for block in blocks]).astype(np.float32))


def write(made: Vectors, rows: int, folder: Path) -> dict[str, Any]:
    """Parquet files of names and captions, and the vectors as halves beside them; the job's input entry."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, rows, FILE_ROWS)):
        count = min(FILE_ROWS, rows - first)
        table = folder / f"{number:05d}.parquet"
        if table.exists():  # of an earlier call: the run is taken as it is
            continue
        names = [f"{first + n:032x}" for n in range(count)]
        np.save(folder / f"img_emb_{number:05d}.npy", made.rows(first, count).astype(np.float16))
        pq.write_table(pa.table({"uid": names, "text": names}), folder / "unfinished")
        (folder / "unfinished").rename(table)  # last, and whole: the vectors of this file are there
    return {"path": f"{folder}/*.parquet", "image_embeddings": f"{folder}/img_emb_*.npy"}


def blocks(folder: Path) -> Iterator[Floats]:
    """What ``write`` wrote, a file at a time."""
    for path in sorted(folder.glob("img_emb_*.npy")):
        yield np.load(path).astype(np.float32)


def nearest(folder: Path, queries: Floats, count: int) -> list[set[int]]:
    """The numbers of the ``count`` nearest of each query, by all cosines; kept in a file beside the folder."""
    kept = folder.with_name(f"nearest-{len(queries)}.npy")
    if not kept.exists():
        np.save(kept, _nearest(folder, queries, count))
    return [set(row) for row in np.load(kept).tolist()]


def _nearest(folder: Path, queries: Floats, count: int) -> npt.NDArray[np.int64]:
    value = np.empty((len(queries), 0), np.float32)
    number = np.empty((len(queries), 0), np.int64)
    first = 0
    for some in blocks(folder):
        cosines = (queries @ some.T) / np.linalg.norm(some, axis=1)
        best = np.argpartition(-cosines, min(count, len(some)) - 1, axis=1)[:, :count]
        value = np.concatenate([value, np.take_along_axis(cosines, best, 1)], axis=1)
        number = np.concatenate([number, first + best], axis=1)
        order = np.argsort(-value, axis=1)[:, :count]
        value, number = np.take_along_axis(value, order, 1), np.take_along_axis(number, order, 1)
        first += len(some)
    return number
