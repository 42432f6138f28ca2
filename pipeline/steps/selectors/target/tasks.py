"""Task functions of `target`: what is stored of the target, each sample's value, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline import encoders
from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing import target
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.encoders.base import Encoder
from tamis.pipeline.inputs import embedding_files
from tamis.pipeline.steps.selectors import budget_cut
from tamis.pipeline.steps.selectors.target.config import LOT, NEAREST, OFF_TARGET
from tamis.pipeline.steps.shared.borrowed import inspected
from tamis.pipeline.steps.shared.other_runs import check_sha256, unchanged
from tamis.pipeline.steps.shared.own_code import with_class
from tamis.pipeline.steps.shared.searched_rows import check_width, rows_of
from tamis.pipeline.steps.shared.vector_sets import BLOCK, VectorSet, blocks
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.store import storage
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import centroid_rows, centroid_table, scatter, uid_words, vectors
from tamis.pipeline.tasks.task import TaskIo, location
from tamis.schemas.errors import InputError, StateError

SHOWN = 200
"""Characters of a target sample's name in the ledger."""


@dataclass(frozen=True)
class Given:
    """Arguments of ``take_centroids``."""

    sha256: str  # of the file
    table: bool  # it is a table of another run, and no .npy
    path: str = location()


@dataclass(frozen=True)
class Measured:
    """Arguments of ``values``."""

    signal: str
    measure: str
    side: str


@dataclass(frozen=True)
class Lot:
    """Arguments of ``draw``."""

    seed: int


@dataclass(frozen=True)
class Keyed:
    """Arguments of ``key``."""

    signal: str
    floor: bool  # samples that the floor has chosen have no key


@dataclass(frozen=True)
class Judged:
    """Arguments of ``decide``."""

    signal: str
    measure: str
    least: float | None = None  # in the place of a cut


def encoder_of(io: TaskIo[Any], of: VectorSet) -> Encoder | None:
    """The encoder of a target of captions."""
    if of.kind != "captions":
        return None
    import torch

    torch.set_num_threads(1)  # as where the samples are embedded
    assert of.spec is not None, "captions come with an encoder"
    spec = with_class(io.root, of.own or of.spec)
    return encoders.load(spec, of.device or "cpu", of.precision or "fp32")


def gather(io: TaskIo[VectorSet]) -> Iterator[pa.Table]:
    """(name, centroid) of the target's vectors, for ``nearest``."""
    found = list(blocks(io.args, encoder_of(io, io.args)))
    names = [name[:SHOWN] for block in found for name in block.names]
    table = centroid_table(np.concatenate([block.rows for block in found]))
    yield table.append_column("name", pa.array(names, pa.string()))


def add_up(io: TaskIo[VectorSet]) -> Iterator[pa.Table]:
    """The second moment of the target's vectors, a row of bytes for each dimension, for ``moment``."""
    second = target.second_moment(block.rows for block in blocks(io.args, encoder_of(io, io.args)))
    raw = np.ascontiguousarray(second, "<f8")
    kind = pa.binary(8 * len(second))
    yield pa.table(
        {"moment": pa.FixedSizeBinaryArray.from_buffers(kind, len(raw), [None, pa.py_buffer(raw)])}
    )


def concepts_in(given: Given) -> int:
    """The number of given centroids.

    Raises:
        InputError, StateError: they cannot be read.
    """
    if given.table:
        root, path = storage.parent(given.path), _base(given.path)
        return sum(inspected(root, path, storage.redact(given.path)).rows)
    with embedding_files.open_matrix(given.path) as (_, matrix):
        return int(matrix.rows)


def take_centroids(io: TaskIo[Given]) -> Iterator[pa.Table]:
    """The given centroids, as they are.

    Raises:
        StateError: they have changed since the run began.
        InputError: they cannot be read.
    """
    path = io.args.path
    file, shown = path.partition("#")[0], storage.redact(path)
    with unchanged([file], shown):
        check_sha256(file, io.args.sha256, shown)
        rows = _of_table(path) if io.args.table else _of_file(path)
    yield centroid_table(rows)


def _of_table(path: str) -> npt.NDArray[np.float32]:
    """The centroids of another run, as it has them."""
    try:
        return centroid_rows(part_files.read_file(storage.parent(path), _base(path)))
    except part_files.DamagedTableError as damage:
        raise StateError(
            f"{storage.redact(path)} is damaged ({damage.args[1]}): run that job again"
        ) from None


def _of_file(path: str) -> npt.NDArray[np.float32]:
    """The rows of a file of vectors, at length 1."""
    with embedding_files.open_matrix(path) as (file, matrix):
        pieces = [
            embedding_files.read_rows(file, matrix, start, min(start + BLOCK, matrix.rows))
            for start in range(0, matrix.rows, BLOCK)
        ]
    if not pieces:
        raise InputError(f"`{storage.redact(path)}` has no centroids: give at least one row")
    try:
        return target.unit_centroids(np.concatenate(pieces))
    except ValueError as error:
        raise InputError(f"the centroids `{storage.redact(path)}`: {error}") from None


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def vote(io: TaskIo[VectorSet]) -> Iterator[pa.Table]:
    """The target's vectors nearest to each centroid, counted, for ``concepts``."""
    centroids = kmeans.Centroids(centroid_rows(io.read("centroids")))
    found = (block.rows for block in blocks(io.args, encoder_of(io, io.args)))
    first = next(found)
    check_width(io, first.shape[1], centroids.rows.shape[1], "centroids")
    yield pa.table({"votes": target.votes(chain([first], found), centroids)})


def values(io: TaskIo[Measured]) -> Iterator[pa.Table]:
    """(row, value, nearest) of one part's embedded samples; ``nearest``: number of target sample or concept."""
    args = io.args
    table = io.read("embedding", ["row", args.side, "reason"])
    table = table.filter(pc.is_null(table["reason"]))
    own = vectors(table[args.side])
    nearest = np.zeros(len(own), np.int32)
    if args.measure == "moment":
        column = io.read("target")["moment"].combine_chunks()
        second = np.frombuffer(column.buffers()[1], "<f8").reshape(len(column), -1)
        check_width(io, own.shape[1], len(second), "a target")
        value = target.moment(own, second)
    elif args.measure == "nearest":
        rows = rows_of(io, "target")
        check_width(io, own.shape[1], rows.rows.shape[1], "a target")
        value, nearest = target.nearest(own, rows)
    else:
        rows = rows_of(io, "centroids")
        check_width(io, own.shape[1], rows.rows.shape[1], "centroids")
        nearest, _ = rows.assign(own)
        of_concept = ("target", "votes") if args.measure == "concepts" else ("search", "rank")
        value = io.read(of_concept[0])[of_concept[1]].to_numpy()[nearest].astype(np.float32)
    yield pa.table({"row": table["row"], args.signal: value, "nearest": nearest})


def draw(io: TaskIo[Lot]) -> Iterator[pa.Table]:
    """One part's living samples by lot, of which the floor takes the first."""
    rows = io.living_rows()
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(pa.array(rows))
    yield budget_cut.keyed(rows, order.hashed(uid_words(uid), io.args.seed, LOT), uid)


def _floored(io: TaskIo[Any]) -> npt.NDArray[np.int64]:
    """The rows of one part that the floor has chosen."""
    table = io.read("lots").combine_chunks()
    chosen = budget_cut.passes(table, budget_cut.read_cut(io, role="floor-cut"))
    rows: npt.NDArray[np.int64] = table["row"].to_numpy()[chosen].astype(np.int64)
    return rows


def key(io: TaskIo[Keyed]) -> Iterator[pa.Table]:
    """One part's living samples that have a value, the largest first; without those that the floor has chosen."""
    yield _keyed(io, 1)


def key_by_rank(io: TaskIo[Keyed]) -> Iterator[pa.Table]:
    """The same, the smallest value first."""
    yield _keyed(io, -1)


def _keyed(io: TaskIo[Keyed], sign: int) -> pa.Table:
    living = io.living_mask()
    if io.args.floor:
        living[_floored(io)] = False
    table = io.read("values", ["row", io.args.signal]).combine_chunks()
    table = table.filter(pa.array(living[table["row"].to_numpy()])).combine_chunks()
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(table["row"].combine_chunks())
    value = sign * table[io.args.signal].to_numpy()
    return budget_cut.keyed(table["row"].to_numpy(), order.descending(value), uid)


def decide(io: TaskIo[Judged]) -> Iterator[pa.Table]:
    """The samples of one part beyond the cut, or below the bound."""
    args = io.args
    stored = scatter(io.read("values"), io.rows)
    value = np.asarray(stored[args.signal].to_numpy(), np.float32)
    if args.least is None:
        table = io.read("keyed").combine_chunks()
        cut = budget_cut.read_cut(io)
        rows = table["row"].to_numpy()[~budget_cut.passes(table, cut)].astype(np.int64)
        bound = float(order.from_descending(cut.key)[0])
        if args.measure == "frechet":
            bound = -bound
    else:
        bound = args.least
        with np.errstate(over="ignore"):  # beyond all cosines
            rows = np.flatnonzero(io.living_mask() & ~(value >= np.float32(bound)))
    yield drops(
        io,
        rows,
        OFF_TARGET,
        rule=[args.signal] * len(rows),
        value=pa.array(value[rows]),
        bound=pa.array(np.full(len(rows), bound)),
        message=_messages(io, stored["nearest"].take(pa.array(rows)).to_pylist()),
    )


def _messages(io: TaskIo[Judged], nearest: list[int]) -> list[str | None]:
    """For each sample the nearest target sample, or its concept."""
    if io.args.measure in ("moment", "influence"):
        return [None] * len(nearest)
    if io.args.measure == "frechet":
        return [*search_messages(io.read("search"), nearest)]
    if io.args.measure == "concepts":
        return [f"its concept is {number}" for number in nearest]
    names = io.read("target", ["name"])["name"].to_pylist()
    return [f"{NEAREST}{names[number]}" for number in nearest]


def search_messages(table: pa.Table, concepts: list[int]) -> list[str]:
    """For samples of ``concepts`` where the search, whose result ``table`` is, put those."""
    rank, union = table["rank"].to_numpy(), table["union"].to_numpy()
    best = rank[table["chosen"].to_numpy()].max()
    least = union[rank == best][0]
    return [
        f"concept {number} is number {rank[number]} of {len(rank)} from the target: with it the union lies "
        f"{union[number]:.4g} away, with the first {best} {least:.4g}"
        for number in concepts
    ]
