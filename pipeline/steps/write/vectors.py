"""The vectors of a shard's samples in a ``.npz`` beside it, row by row as its parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.results import shards
from tamis.pipeline.results.arrays import ArraysWriter
from tamis.pipeline.steps.write.config import Stored
from tamis.pipeline.steps.write.shard import placed
from tamis.pipeline.tables.columns import Float16s, vectors
from tamis.pipeline.tasks.task import TaskIo

SHORT = {"image": "img", "text": "txt"}
"""Side -> how arrays call it, as DataComp does."""

EMBEDDING = "embedding:"
"""Role of an embedding's tables, before its name."""

LARGEST = 127
"""The absolute value of an int8 that stands for the largest number of a row."""


@dataclass(frozen=True)
class ShardVectors:
    """Arguments of ``write_vectors``."""

    shard: int
    first: int  # the kept samples of the first part that are in the shard before
    samples: int
    parts: int
    sides: Sequence[tuple[str, str]]  # embedding, and image or text
    stored: Stored
    tier: str | None = None  # whose shard it is


def array_name(embedding: str, side: str) -> str:
    """The name of an array: NAME_img or NAME_txt."""
    return f"{embedding}_{SHORT[side]}"


def scale_name(array: str) -> str:
    """The name of the array with the factor of each row of an array of int8."""
    return f"{array}_scale"


def in_bytes(rows: Float16s) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Rows (n, d) as int8 (n, d), and float32 (n,): a row's numbers are its int8 times its factor, to half the factor.

    A factor is the row's largest absolute value divided by 127.
    """
    wide = rows.astype(np.float32)
    scale = np.abs(wide).max(axis=1, initial=0) / np.float32(LARGEST)
    steps = np.rint(wide / np.maximum(scale, np.finfo(np.float32).tiny)[:, None])
    return steps.astype(np.int8), scale


def write_vectors(io: TaskIo[ShardVectors]) -> Iterator[pa.Table]:
    """The arrays of one shard, a part at a time."""
    args = io.args
    count = sum(len(rows) for rows, _ in _placed(io))
    path = f"shards/{shards.shard_name(args.shard, args.tier)}.npz"
    with io.output(path) as out:
        writer = ArraysWriter(out)
        for embedding, side in args.sides:
            _write(writer, io, embedding, side, count)
        writer.close()
    yield io.receipt(path, count)


def _placed(
    io: TaskIo[ShardVectors],
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    return placed(io, io.args.first, io.args.samples, io.args.parts)


def _write(
    writer: ArraysWriter, io: TaskIo[ShardVectors], embedding: str, side: str, count: int
) -> None:
    """The array of one side, and with int8 that of its factors, which are few enough to be held."""
    found = _vectors(io, embedding, side)
    first = next(found)
    name, dim = array_name(embedding, side), first.shape[1]
    array = partial(writer.array, shape=(count, dim))
    if io.args.stored == "fp16":
        with array(name, "<f2") as file:
            for rows in chain([first], found):
                file.write(np.ascontiguousarray(rows, "<f2").tobytes())
        return
    scales: list[npt.NDArray[np.float32]] = []
    with array(name, "|i1") as file:
        for rows in chain([first], found):
            steps, scale = in_bytes(rows)
            file.write(steps.tobytes())
            scales.append(scale)
    with writer.array(scale_name(name), "<f4", (count,)) as file:
        file.write(np.concatenate(scales).astype("<f4").tobytes())


def _vectors(io: TaskIo[ShardVectors], embedding: str, side: str) -> Iterator[Float16s]:
    """The vectors of the shard's samples, part by part, at least once."""
    tables = io.stream(f"{EMBEDDING}{embedding}", ["row", side])
    for table, (rows, _) in zip(tables, _placed(io), strict=True):
        at = np.searchsorted(table["row"].to_numpy(), rows)
        yield vectors(table[side])[at]
