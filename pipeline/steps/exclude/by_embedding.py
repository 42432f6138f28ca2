"""Samples whose pictures lie within epsilon of a listed vector: of another run, or of a file of vectors.

``list`` has the vectors, ``values`` each embedded sample's distance from the nearest of them: another epsilon compares
what is stored. Of a list that is not to be revealed neither is stored, as many distances tell where a vector lies: then
the verdict's tasks read the list, and compare with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms.choosing import target
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.steps.exclude import entries
from tamis.pipeline.steps.exclude.config import EXCLUDED, MOST_VECTORS, Exclude
from tamis.pipeline.steps.shared import vector_sets
from tamis.pipeline.steps.shared.searched_rows import check_width, rows_of
from tamis.pipeline.steps.shared.vector_sets import Side, VectorSet
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import centroid_table, scatter, vectors
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase, listed
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import InputError, JobError, TamisError
from tamis.schemas.tables import UID

SIDE: Side = "image"
LISTED = "the list"

Distances = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Listed:
    """Arguments of ``read_list``."""

    of: VectorSet
    reveal: bool


@dataclass(frozen=True)
class Measured:
    """Arguments of ``values``."""

    signal: str


@dataclass(frozen=True)
class Judged:
    """Arguments of ``decide``."""

    signal: str
    rule: str  # the list's name in the ledger
    epsilon: float
    redact: bool


@dataclass(frozen=True)
class Hidden:
    """Arguments of ``decide_unrevealed``."""

    of: VectorSet
    rule: str
    epsilon: float


def listed_vectors(config: Exclude, embed: Any, seed: int) -> VectorSet:
    """The identity of a list of vectors; ``embed``: the settings of the step that embeds the samples.

    Raises:
        InputError, JobError, StateError: it is not there, is no list of vectors, or does not fit the samples'.
    """
    shown = f"{LISTED} `{storage.redact(config.path)}`" if config.reveal else LISTED
    kind = vector_sets.kind_of(config.path)
    if kind == "captions":
        raise JobError(
            f"{config.name}: {shown} is text, and pictures' embeddings are compared: give a finished run, or vectors "
            "(.npy)"
        )
    query = LISTED if kind == "vectors" else None
    return vector_sets.vector_set(
        config.name, config.path, embed, seed, SIDE, query=query, shown=shown
    )


def phases(
    context: Context, config: Exclude, embedding: str, of: VectorSet
) -> Iterator[Phase[Any]]:
    """``list``, ``values`` and ``verdict``, as the module says."""
    name, rule = config.name, entries.rule_of(config, of.sha256)
    yield listed("list", read_list, [Task.whole("list", {}, Listed(of, config.reveal))])
    inputs: dict[str, ByPart | Sequence[ByPart]] = {"embedding": context.embedding(embedding)}
    if not config.reveal:
        inputs["drops"] = context.drops()
        hidden = Hidden(of, rule, config.epsilon)
        yield Phase(VERDICT, decide_unrevealed, EachPart(context.parts, inputs, hidden))
        return
    shared = {"list": context.done(name, "list").whole()}
    each = EachPart(context.parts, inputs, Measured(name), shared=shared)
    yield Phase("values", values, each)
    inputs = {"values": context.at(name, "values"), "drops": context.drops()}
    judged = Judged(name, rule, config.epsilon, config.redact)
    yield Phase(VERDICT, decide, EachPart(context.parts, inputs, judged, shared=shared))


def read_list(io: TaskIo[Listed]) -> Iterator[pa.Table]:
    """(centroid, name, uid) of the list; without a row where it is not to be revealed. Notes its sha256.

    Raises:
        InputError: it is longer than a worker holds, or cannot be read.
    """
    io.notes["sha256"] = io.args.of.sha256
    with _unnamed(io.args):
        names, rows = _read(io.args.of)
    table = centroid_table(rows).append_column("name", pa.array(names, pa.string()))
    own = io.args.of.kind == "run"
    uids = pa.array([bytes.fromhex(name) if own else None for name in names], UID)
    table = table.append_column("uid", uids)
    yield table if io.args.reveal else table.slice(0, 0)


def _read(of: VectorSet) -> tuple[list[str], npt.NDArray[np.float32]]:
    names: list[str] = []
    found = []
    for block in vector_sets.blocks(of, None):
        names += block.names
        found.append(block.rows)
        if len(names) > MOST_VECTORS:
            raise InputError(
                f"{of.shown} has more than {MOST_VECTORS:,} vectors, which is what a worker holds: make several lists "
                "of it, each for an `exclude` step of its own"
            )
    return names, np.concatenate(found)


@contextmanager
def _unnamed(args: Listed | Hidden) -> Iterator[None]:
    """Context in which no error says where a list lies that is not to be revealed."""
    try:
        yield
    except TamisError as error:
        if isinstance(args, Listed) and args.reveal:
            raise
        known = (
            str(error)
            if str(error).startswith(args.of.shown)
            else f"{args.of.shown} cannot be read"
        )
        raise type(error)(known) from None


@lru_cache(maxsize=1)
def _held(of: VectorSet) -> kmeans.Centroids:
    """The list, read once a process."""
    return kmeans.Centroids(_read(of)[1])


def _distances(
    io: TaskIo[Any], table: pa.Table, listed: kmeans.Centroids
) -> tuple[Distances, npt.NDArray[np.int32]]:
    """1 - cosine to the nearest listed vector, and its number; each the same whatever rows are beside it."""
    own = vectors(table[SIDE])
    if not len(own):
        return np.zeros(0, np.float32), np.zeros(0, np.int32)
    check_width(io, own.shape[1], listed.rows.shape[1], LISTED)
    cosine, number = target.nearest(own, listed)
    return np.maximum(np.float32(1) - cosine, np.float32(0)), number


def _embedded(io: TaskIo[Any]) -> pa.Table:
    table = io.read("embedding", ["row", SIDE, "reason"])
    return table.filter(pc.is_null(table["reason"])).combine_chunks()


def values(io: TaskIo[Measured]) -> Iterator[pa.Table]:
    """(row, value, nearest) of one part's embedded samples; ``nearest``: number of the listed vector."""
    table = _embedded(io)
    distance, number = _distances(io, table, rows_of(io, "list"))
    yield pa.table({"row": table["row"], io.args.signal: distance, "nearest": number})


def decide(io: TaskIo[Judged]) -> Iterator[pa.Table]:
    """The samples of one part within epsilon of a listed vector."""
    args = io.args
    stored = scatter(io.read("values"), io.rows)
    distance = stored[args.signal].to_numpy().astype(np.float64)  # NaN without an embedding
    rows = np.flatnonzero(io.living_mask() & (distance <= args.epsilon))
    nearest = stored["nearest"].take(pa.array(rows))
    known = io.read("list", ["name", "uid"]).combine_chunks().take(nearest)
    said = [
        None if uid is not None or args.redact else name
        for name, uid in zip(known["name"].to_pylist(), known["uid"].to_pylist(), strict=True)
    ]
    yield drops(
        io,
        rows,
        EXCLUDED,
        rule=[args.rule] * len(rows),
        value=distance[rows],
        bound=np.full(len(rows), args.epsilon),
        partner=known["uid"],
        partner_value=distance[rows],
        message=said,
    )


def decide_unrevealed(io: TaskIo[Hidden]) -> Iterator[pa.Table]:
    """The same, with a list of which nothing is stored, and no distance from it."""
    args = io.args
    with _unnamed(args):
        listed = _held(args.of)
    table = _embedded(io)
    distance, _ = _distances(io, table, listed)
    near = table["row"].to_numpy()[distance.astype(np.float64) <= args.epsilon].astype(np.int64)
    rows = near[io.living_mask()[near]]
    yield drops(io, rows, EXCLUDED, rule=[args.rule] * len(rows))
