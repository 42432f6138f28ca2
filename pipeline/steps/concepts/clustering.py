"""Task functions of clustering: draw a sample, train centroids on it, assign samples to them.

The sample consists of the living samples with the smallest hashes of seed and uid, so it depends neither on the order
of the input nor on its division into parts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.host import devices
from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import (
    Float16s,
    centroid_rows,
    centroid_table,
    uid_words,
    vector_column,
    vectors,
)
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks.task import TaskIo, location


@dataclass(frozen=True)
class Sampling:
    """Arguments of ``sample``."""

    seed: int
    below: int  # the bound that hashes stay at or below
    both: bool | None = None  # see ``on_both``


@dataclass(frozen=True)
class Training:
    """Arguments of ``train``."""

    clusters: int
    dim: int
    iterations: int
    seed: int
    wanted: int  # samples to train on, at most
    device: str | None  # see ``on_device``
    threads: int | None = location()  # None: a thread a processor; the result is the same


@dataclass(frozen=True)
class Assignment:
    """Arguments of ``assign``."""

    device: str | None  # see ``on_device``
    both: bool | None = None  # see ``on_both``


class WithDevice(Protocol):
    """Arguments of a task that works with centroids."""

    @property
    def device(self) -> str | None:
        """See ``on_device``."""


AnyDevice = TypeVar("AnyDevice", bound=WithDevice)


def sample(io: TaskIo[Sampling]) -> Iterator[pa.Table]:
    """(hash, uid, vector) of the living samples of one part whose hash is below the bound."""
    uids = io.read("ingest", ["uid"])["uid"].combine_chunks()
    embedded = io.read("embedding", ["row", *sides(io.args.both)]).combine_chunks()
    rows = embedded["row"].to_numpy()
    uid = uids.take(pa.array(rows))
    hashes = order.hashed(uid_words(uid), io.args.seed, "kmeans")
    living = io.living_mask()[rows]
    chosen = np.flatnonzero(living & (hashes <= np.uint64(io.args.below)))
    yield pa.table(
        {
            "hash": hashes[chosen],
            "uid": uid.take(pa.array(chosen)),
            "vector": vector_column(clustered(embedded.take(pa.array(chosen)), io.args.both)),
        }
    )


def train(io: TaskIo[Training]) -> Iterator[pa.Table]:
    """The centroids, a row each: float32 as raw bytes. Memory holds the sample once, as float32."""
    args = io.args
    names = io.read("sample", ["hash", "uid"]).combine_chunks()
    count = min(args.wanted, names.num_rows)
    chosen = order.smallest(names["hash"].to_numpy(), uid_words(names["uid"]), count)
    position = np.full(names.num_rows, -1, dtype=np.int64)
    position[chosen] = np.arange(count)
    rows = np.empty((count, args.dim), dtype=np.float32)
    start = 0
    for piece in io.stream("sample", ["vector"]):
        to = position[start : start + piece.num_rows]
        rows[to[to >= 0]] = vectors(piece["vector"])[to >= 0]
        start += piece.num_rows
    # The task is alone in its phase: the processors of its machine are idle.
    threads = args.threads or len(os.sched_getaffinity(0))
    fit = kmeans.fit(rows, args.clusters, args.iterations, args.seed, threads, device(io))
    io.notes |= {
        "clusters": args.clusters,
        "dim": args.dim,
        "trained_on": count,
        "sample_similarity": [float(value) for value in fit.similarity],
    }
    yield centroid_table(fit.centroids)


def assign(io: TaskIo[Assignment]) -> Iterator[pa.Table]:
    """(row, cluster, similarity) of one part's embedded samples."""
    table = io.read("embedding", ["row", *sides(io.args.both), "reason"])
    table = table.filter(pc.is_null(table["reason"]))
    number, similarity = searchable(io).assign(clustered(table, io.args.both))
    yield pa.table({"row": table["row"], "cluster": number, "similarity": similarity})


@lru_cache(maxsize=4)
def _centroids(root: str, path: str, digest: str) -> npt.NDArray[np.float32]:
    del digest  # part of the key: the same path may hold other centroids later
    return centroid_rows(part_files.read_file(root, path))


def centroids(root: str, piece: Slice) -> npt.NDArray[np.float32]:
    """(K, d) float32 centroids of a file; cached by the process between tasks."""
    return _centroids(root, piece.path, piece.identity)


@lru_cache(maxsize=1)
def _searchable(root: str, path: str, digest: str, where: str | None) -> kmeans.Centroids:
    return kmeans.Centroids(_centroids(root, path, digest), where)


def searchable(io: TaskIo[AnyDevice]) -> kmeans.Centroids:
    """The centroids that a task reads, ready for search; cached by the process between tasks."""
    (piece,) = io.slices("centroids")
    return _searchable(io.root, piece.path, piece.identity, device(io))


def on_both(config: Clustered) -> bool | None:
    """Whether captions are clustered too. None for pictures alone, so that their tables keep their fingerprints."""
    return config.both_sides or None


def sides(both: bool | None) -> Sequence[str]:
    """The columns of an embedding that are clustered."""
    return ("image", "text") if both else ("image",)


def clustered(table: pa.Table, both: bool | None) -> Float16s:
    """The vectors that are clustered, float16 (n, d): pictures', or pictures' and captions' side by side, (n, 2 d).

    Each side has length 1 before, so that a cosine is the mean of both sides' cosines.
    """
    if not both:
        return vectors(table["image"])
    halves = []
    for side in sides(both):
        rows = vectors(table[side]).astype(np.float32)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        halves.append(rows / (np.maximum(length, TINY) * SQRT_2))
    return np.concatenate(halves, axis=1).astype(np.float16)


TINY = np.finfo(np.float32).tiny

SQRT_2 = np.float32(np.sqrt(2))


def on_device(config: Clustered) -> str | None:
    """The device in a task's arguments. None for processors, so that their tables keep their fingerprints."""
    return None if config.device == "cpu" else config.device


def device(io: TaskIo[AnyDevice]) -> str | None:
    """The device of a task's arguments, made ready.

    Raises:
        ModelError: there is no such device here.
    """
    devices.prepare(io.args.device, io.attempt.gpus or 1.0)
    return io.args.device
