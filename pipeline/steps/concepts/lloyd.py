"""Lloyd iterations over all living samples: sums over groups of parts, one update for each iteration.

The sums are exact (see ``kmeans.partial_sums``), so no grouping and no order of parts shows in the centroids. They end
early when an update moves no centroid and re-seeds none: every later iteration would give the same again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.choosing import density
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.steps.concepts import clustering
from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.parts import alive_mask
from tamis.pipeline.tables import columns
from tamis.pipeline.tables.part_files import Slice
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Part, Phase, Task, TaskIo
from tamis.schemas.errors import JobError
from tamis.schemas.resources import Claimed

UNIT = 2.0**-28
"""Of ``density.intra_sums``."""


def phases(
    context: Context, config: Clustered, embedding: str, first: str, claimed: Claimed
) -> Iterator[Phase]:
    """``sums-001``, ``update-001`` and so on from the centroids of the phase ``first``; ends with ``train``.

    ``claimed`` is by each task that assigns.

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
    groups = list(grouped(context.parts, bucket_counts.ROWS_PER_CLUSTER * clusters))
    for iteration in range(1, config.full_iterations + 1):
        held = (Slice(current),)
        tasks = [_task(context, n, group, embedding, held) for n, group in enumerate(groups)]
        yield Phase(f"sums-{iteration:03d}", sums, tasks, clustering.on_device(config), claimed)
        inputs = {"sums": context.done(step, f"sums-{iteration:03d}").whole(), "centroids": held}
        task = Task("centroids", inputs, {"before": dict(current.notes)})
        yield Phase(f"update-{iteration:03d}", update, [task])
        current = context.done(step, f"update-{iteration:03d}")["centroids"]
        if current.notes["movement"][-1] == 0 and not current.notes["reseeded"][-1]:
            break
    task = Task("centroids", {"centroids": (Slice(current),)}, {"before": dict(current.notes)})
    yield Phase("train", settle, [task])


def grouped(parts: Sequence[Part], rows: int) -> Iterator[list[Part]]:
    """Consecutive parts of at least ``rows`` rows together; the last may have fewer."""
    group: list[Part] = []
    for part in parts:
        group.append(part)
        if sum(part.rows for part in group) >= rows:
            yield group
            group = []
    if group:
        yield group


def _task(
    context: Context, number: int, parts: Sequence[Part], embedding: str, held: Sequence[Slice]
) -> Task:
    inputs: dict[str, Sequence[Slice]] = {"centroids": held}
    for place, part in enumerate(parts):
        inputs[f"embedding-{place}"] = [context.embedding(embedding, part)]
        inputs[f"drops-{place}"] = context.drops(part)
    return Task(f"group-{number:05d}", inputs, {"rows": [part.rows for part in parts]})


def sums(io: TaskIo) -> Iterator[pa.Table]:
    """(cluster, size, distance, sum) of the clusters that the living samples of some parts are nearest to.

    ``sum`` is d float64, ``distance`` the sum of 1 - similarity in units of 2^-28.
    """
    centroids = clustering.held(io)
    clusters, dim = centroids.rows.shape
    total = np.zeros((clusters, dim))
    size = np.zeros(clusters, np.int64)
    distance = np.zeros_like(size)
    for place, rows in enumerate(io.args["rows"]):
        table = io.read(f"embedding-{place}", ["row", "image"])
        living = alive_mask(io, rows, f"drops-{place}")[table["row"].to_numpy()]
        vectors = columns.vectors(table.filter(pa.array(living))["image"])
        number, similarity = centroids.assign(vectors)
        total += kmeans.partial_sums(vectors, number, clusters)[0]
        gaps, counts = density.intra_sums(number, similarity, clusters)
        size += counts
        distance += gaps
    there = np.flatnonzero(size)
    raw = pa.py_buffer(np.ascontiguousarray(total[there]))
    kind = pa.binary(8 * dim)
    yield pa.table(
        {
            "cluster": there.astype(np.int32),
            "size": size[there],
            "distance": distance[there],
            "sum": pa.FixedSizeBinaryArray.from_buffers(kind, len(there), [None, raw]),
        }
    )


def update(io: TaskIo) -> Iterator[pa.Table]:
    """The next centroids. The notes grow by the similarity before, the movement, and the number re-seeded."""
    (piece,) = io.task.inputs["centroids"]
    centroids = clustering.centroids(io.root, piece)
    total = np.zeros(centroids.shape)
    size = np.zeros(len(centroids), np.int64)
    distance = 0
    for part in io.stream("sums"):
        column = part["sum"].combine_chunks()
        if len(column):
            number = part["cluster"].to_numpy()
            numbers = np.frombuffer(column.buffers()[1], dtype=np.float64)
            total[number] += numbers.reshape(len(column), -1)
            size[number] += part["size"].to_numpy()
            distance += int(part["distance"].to_numpy().sum())
    made = kmeans.update(total, size, centroids)
    before = io.args["before"]
    io.notes |= {
        **before,
        "similarity": [*before.get("similarity", ()), 1.0 - distance * UNIT / int(size.sum())],
        "movement": [*before.get("movement", ()), made.movement],
        "reseeded": [*before.get("reseeded", ()), len(made.reseeded)],
    }
    yield columns.centroid_table(made.centroids)


def settle(io: TaskIo) -> Iterator[pa.Table]:
    """The last centroids, under the name that every later phase knows."""
    before = io.args["before"]
    still = before["movement"][-1] == 0 and not before["reseeded"][-1]
    io.notes |= {**before, "converged": still}
    (piece,) = io.task.inputs["centroids"]
    yield columns.centroid_table(clustering.centroids(io.root, piece))
