"""Lloyd iterations over all living samples: sums over groups of parts, one update for each iteration.

The sums are exact (see ``kmeans.partial_sums``), so the centroids do not depend on the grouping and order of parts. The
iterations end early when an update moves no centroid and re-seeds none: later ones would change nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipeline.algorithms.choosing import density
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.steps.concepts import clustering
from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.tables import columns
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.phase import Phase, listed, members_of
from tamis.pipeline.tasks.sources import Source, gathered
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import JobError
from tamis.schemas.resources import Claimed
from tamis.schemas.scope import Scope

TOGETHER = 64
"""Files of sums that one task adds up."""

UNIT = 2.0**-28
"""Unit of the distances of ``density.intra_sums``."""


@dataclass(frozen=True)
class Group:
    """Arguments of ``sums``."""

    device: str | None  # see ``clustering.on_device``
    both: bool | None = None  # see ``clustering.on_both``


@dataclass(frozen=True)
class Joined:
    """Arguments of ``joined``: the shape of the sums."""

    clusters: int
    dim: int


@dataclass(frozen=True)
class History:
    """Arguments of ``update`` and ``settle``."""

    before: Mapping[str, Any]  # the notes of the centroids that they read


def phases(
    context: Context, config: Clustered, embedding: str, first: str, claimed: Claimed
) -> Iterator[Phase[Any]]:
    """``sums-001``, ``update-001`` and so on, from the centroids of the phase ``first``; the last phase is ``train``.

    ``claimed``: the claim of each task that assigns.

    Raises:
        JobError: fewer samples than clusters.
    """
    step = config.name
    current = context.done(step, first)["centroids"]
    clusters = sum(current.rows)
    if clusters > context.alive:
        raise JobError(
            f"{step}: full_iterations over {context.alive:,} samples cannot fill {clusters:,} clusters: "
            "leave `full_iterations` out, or use fewer clusters"
        )
    groups = list(grouped(context.parts.rows, bucket_counts.ROWS_PER_CLUSTER * clusters))
    living = {"embedding": [context.embedding(embedding)], "drops": context.drops()}
    for iteration in range(1, config.full_iterations + 1):
        inputs: dict[str, Sequence[Source]] = {"centroids": [current.slice()]}
        tasks = [
            Task(
                Scope.RANGE,
                number,
                inputs,
                Group(clustering.on_device(config), clustering.on_both(config)),
                rows=int(context.parts.rows[parts.start : parts.stop].sum()),
                members=members_of(context.parts, living, parts.start, parts.stop),
            )
            for number, parts in enumerate(groups)
        ]
        yield listed(f"sums-{iteration:03d}", sums, tasks, claimed)
        shape = Joined(clusters, int(current.notes["dim"]))
        summed = yield from _joined(context, step, f"sums-{iteration:03d}", shape)
        inputs["sums"] = summed.whole()
        task = Task.whole("centroids", inputs, History(dict(current.notes)))
        yield listed(f"update-{iteration:03d}", update, [task])
        current = context.done(step, f"update-{iteration:03d}")["centroids"]
        if current.notes["movement"][-1] == 0 and not current.notes["reseeded"][-1]:
            break
    task = Task.whole("centroids", {"centroids": [current.slice()]}, History(dict(current.notes)))
    yield listed("train", settle, [task])


def _joined(
    context: Context, step: str, phase: str, shape: Joined
) -> Generator[Phase[Any], None, Done]:
    """The sums of ``phase``, added up in a tree until TOGETHER files or fewer hold them.

    They are exact, so the order of addition is no matter.
    """
    summed, name = context.done(step, phase), phase
    while len(summed) > TOGETHER:
        spans = [
            (first, min(first + TOGETHER, len(summed))) for first in range(0, len(summed), TOGETHER)
        ]
        tasks = [
            Task(Scope.BUCKET, number, {"sums": [gathered(summed.files, None, *span)]}, shape)
            for number, span in enumerate(spans)
        ]
        name = f"{name}-joined"
        yield listed(name, joined, tasks)
        summed = context.done(step, name)
    return summed


def grouped(rows: npt.NDArray[np.int64], least: int) -> Iterator[range]:
    """Numbers of consecutive parts of at least ``least`` rows together; the last may have fewer."""
    ends = np.cumsum(rows)
    first = 0
    while first < len(rows):
        before = int(ends[first - 1]) if first else 0
        stop = min(int(np.searchsorted(ends, before + least)) + 1, len(rows))
        yield range(first, stop)
        first = stop


def sums(io: TaskIo[Group]) -> Iterator[pa.Table]:
    """(cluster, size, distance, sum) of the clusters that living samples of some parts are assigned to.

    ``sum`` is d float64, ``distance`` the sum of 1 - similarity in units of 2^-28.
    """
    centroids = clustering.searchable(io)
    clusters, dim = centroids.rows.shape
    total = np.zeros((clusters, dim))
    size = np.zeros(clusters, np.int64)
    distance = np.zeros_like(size)
    for part in io.parts():
        table = part.read("embedding", ["row", *clustering.sides(io.args.both)])
        living = part.living_mask()[table["row"].to_numpy()]
        vectors = clustering.clustered(table.filter(pa.array(living)), io.args.both)
        number, similarity = centroids.assign(vectors)
        total += kmeans.partial_sums(vectors, number, clusters)[0]
        gaps, counts = density.intra_sums(number, similarity, clusters)
        size += counts
        distance += gaps
    yield _Total(total, size, distance).table()


@dataclass
class _Total:
    """Sums over all clusters."""

    sum: npt.NDArray[np.float64]  # (K, d)
    size: npt.NDArray[np.int64]
    distance: npt.NDArray[np.int64]

    def table(self) -> pa.Table:
        """A row a cluster that has samples."""
        present = np.flatnonzero(self.size)
        raw = pa.py_buffer(np.ascontiguousarray(self.sum[present]))
        kind = pa.binary(8 * self.sum.shape[1])
        return pa.table(
            {
                "cluster": present.astype(np.int32),
                "size": self.size[present],
                "distance": self.distance[present],
                "sum": pa.FixedSizeBinaryArray.from_buffers(kind, len(present), [None, raw]),
            }
        )


def _total(io: TaskIo[Any], clusters: int, dim: int) -> _Total:
    """The tables under the role ``sums``, added up one after another."""
    total = _Total(
        np.zeros((clusters, dim)), np.zeros(clusters, np.int64), np.zeros(clusters, np.int64)
    )
    for part in io.stream("sums"):
        column = part["sum"].combine_chunks()
        if len(column):
            number = part["cluster"].to_numpy()
            numbers = np.frombuffer(column.buffers()[1], dtype=np.float64)
            total.sum[number] += numbers.reshape(len(column), -1)
            total.size[number] += part["size"].to_numpy()
            total.distance[number] += part["distance"].to_numpy()
    return total


def joined(io: TaskIo[Joined]) -> Iterator[pa.Table]:
    """The sums of several groups of parts, as those of one."""
    yield _total(io, io.args.clusters, io.args.dim).table()


def update(io: TaskIo[History]) -> Iterator[pa.Table]:
    """The next centroids. The notes get one more similarity (before the update), movement, and number re-seeded."""
    (piece,) = io.slices("centroids")
    centroids = clustering.centroids(io.root, piece)
    total = _total(io, *centroids.shape)
    size, distance = total.size, int(total.distance.sum())
    made = kmeans.update(total.sum, size, centroids)
    before = io.args.before
    io.notes |= {
        **before,
        "similarity": [*before.get("similarity", ()), 1.0 - distance * UNIT / int(size.sum())],
        "movement": [*before.get("movement", ()), made.movement],
        "reseeded": [*before.get("reseeded", ()), len(made.reseeded)],
    }
    yield columns.centroid_table(made.centroids)


def settle(io: TaskIo[History]) -> Iterator[pa.Table]:
    """The last centroids, as the table that later phases read."""
    before = io.args.before
    still = before["movement"][-1] == 0 and not before["reseeded"][-1]
    io.notes |= {**before, "converged": still}
    (piece,) = io.slices("centroids")
    yield columns.centroid_table(clustering.centroids(io.root, piece))
