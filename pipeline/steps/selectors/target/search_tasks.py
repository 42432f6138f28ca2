"""Task functions of `measure: frechet`: the target's moments, those of each concept, the search, and its verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from threadpoolctl import threadpool_limits

from tamis.pipeline.algorithms.choosing import frechet
from tamis.pipeline.algorithms.choosing.frechet import UNIT, Moments
from tamis.pipeline.steps.selectors.target.config import OFF_TARGET
from tamis.pipeline.steps.selectors.target.tasks import (
    Judged,
    encoder_of,
    search_messages,
)
from tamis.pipeline.steps.shared.searched_rows import check_width, rows_of
from tamis.pipeline.steps.shared.vector_sets import VectorSet, blocks
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.tables.columns import scatter, vectors
from tamis.pipeline.tasks.task import TaskIo

Numbers = npt.NDArray[np.float64]
MOST_BYTES = 2_000_000_000
"""Bytes of the moments of all concepts, at most: each worker holds them."""


@dataclass(frozen=True)
class Projected:
    """Arguments of ``describe``."""

    of: VectorSet
    dimensions: int


@dataclass(frozen=True)
class Compared:
    """Arguments of ``moments``."""

    side: str


def describe(io: TaskIo[Projected]) -> Iterator[pa.Table]:
    """The target's principal directions, and its moments along them: (along, size, total, outer), a row of bytes."""
    args = io.args
    found = (block.rows for block in blocks(args.of, encoder_of(io, args.of)))
    whole = Moments.of_blocks(found)
    along = frechet.directions(whole.outer / whole.size, args.dimensions)
    made = whole.along(along)
    table = {name: [_packed(numbers)] for name, numbers in _named(along, made).items()}
    yield pa.table({"width": [len(along)], "size": [made.size], **table})


def _named(along: Numbers, moments: Moments) -> dict[str, Numbers]:
    return {"along": along, "total": moments.total, "outer": moments.outer}


def _packed(numbers: Numbers) -> bytes:
    return np.ascontiguousarray(numbers, "<f8").tobytes()


def _described(table: pa.Table) -> tuple[Numbers, Moments]:
    """The inverse: directions (d, p), and moments along them."""
    (row,) = table.to_pylist()
    along = np.frombuffer(row["along"], "<f8").reshape(row["width"], -1)
    size = along.shape[1]
    total, outer = (np.frombuffer(row[name], "<f8") for name in ("total", "outer"))
    return along, Moments(row["size"], total, outer.reshape(size, size))


def moments(io: TaskIo[Compared]) -> Iterator[pa.Table]:
    """(concept, size, total, outer) of the living samples of some parts, in whole numbers of ``frechet.UNIT``."""
    centroids = rows_of(io, "centroids")
    along, _ = _described(io.read("target"))
    size = along.shape[1]
    clusters, dim = centroids.rows.shape
    check_width(io, dim, len(along), "a target")
    counts = np.zeros(clusters, np.int64)
    totals = np.zeros((clusters, size), np.int64)
    outers = np.zeros((clusters, size, size), np.int64)
    side = io.args.side
    for part in io.parts():
        table = part.read("embedding", ["row", side])
        living = part.living_mask()[table["row"].to_numpy()]
        rows = vectors(table.filter(pa.array(living))[side])
        check_width(io, rows.shape[1], dim, "centroids")
        concept, _ = centroids.assign(rows)
        frechet.add(frechet.projected(rows, along), concept, counts, totals, outers)
    present = np.flatnonzero(counts)
    yield pa.table(
        {
            "concept": present.astype(np.int32),
            "size": counts[present],
            "total": _column(totals[present]),
            "outer": _column(outers[present].reshape(len(present), -1)),
        }
    )


def _column(rows: npt.NDArray[np.int64]) -> pa.Array:
    raw = pa.py_buffer(np.ascontiguousarray(rows, "<i8"))
    kind = pa.binary(8 * rows.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(rows), [None, raw])


def _integers(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    array = column.combine_chunks()
    return np.frombuffer(array.buffers()[1], "<i8").reshape(len(array), -1)


def _scaled(numbers: npt.NDArray[np.int64], unit: float) -> Numbers:
    found: Numbers = numbers.astype(np.float64) * unit
    return found


def search(io: TaskIo[None]) -> Iterator[pa.Table]:
    """(size, rank, distance, union, chosen) of each concept, by its number."""
    clusters = len(rows_of(io, "centroids").rows)
    _, target = _described(io.read("target"))
    size = len(target.total)
    counts = np.zeros(clusters, np.int64)
    totals = np.zeros((clusters, size), np.int64)
    outers = np.zeros((clusters, size * size), np.int64)
    for piece in io.stream("moments"):
        if piece.num_rows:
            concept = piece["concept"].to_numpy()
            counts[concept] += piece["size"].to_numpy()
            totals[concept] += _integers(piece["total"])
            outers[concept] += _integers(piece["outer"])
    with threadpool_limits(1, user_api="blas"):
        found = frechet.Target(target).search(
            counts, _scaled(totals, UNIT), _scaled(outers, UNIT**2).reshape(-1, size, size)
        )
    io.notes |= {
        "concepts": found.best,
        "distance": float(found.union[found.rank == found.best][0]),
    }
    yield pa.table(
        {
            "size": counts,
            "rank": found.rank,
            "distance": found.distance,
            "union": found.union,
            "chosen": found.rank <= found.best,
        }
    )


def decide_by_search(io: TaskIo[Judged]) -> Iterator[pa.Table]:
    """The samples of one part in concepts beyond the last that the search took."""
    found = io.read("search")
    bound = int(found["rank"].to_numpy()[found["chosen"].to_numpy()].max())
    stored = scatter(io.read("values"), io.rows)
    value = np.asarray(stored[io.args.signal].to_numpy(), np.float32)
    rows = np.flatnonzero(io.living_mask() & ~(value <= bound))
    yield drops(
        io,
        rows,
        OFF_TARGET,
        rule=[io.args.signal] * len(rows),
        value=pa.array(value[rows]),
        bound=pa.array(np.full(len(rows), float(bound))),
        message=search_messages(found, stored["nearest"].take(pa.array(rows)).to_pylist()),
    )
