"""Fixed reference pairs: those of the smallest hashes of seed and uid that reach a step, in the order of the hashes.

The phase ``drawn`` has those that may be among them, ``references`` has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms import order
from tamis.pipeline.steps.concepts.concepts import dimension, sample_bound
from tamis.pipeline.steps.shared.config import nothing_reaches
from tamis.pipeline.tables.columns import Float16s, uid_words, vectors
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.sources import ByPart, Source
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import Task, TaskIo

PASSING = ("drawn",)


@dataclass(frozen=True)
class Drawing:
    """Arguments of ``draw``."""

    seed: int
    below: int  # the bound that hashes stay at or below


@dataclass(frozen=True)
class Taking:
    """Arguments of ``take``."""

    wanted: int


def inputs_of(context: Context, embedding: str) -> dict[str, ByPart | Sequence[ByPart]]:
    """The tables of each part: the embedding, uids, and who is left."""
    return {
        "embedding": context.embedding(embedding),
        "ingest": context.ingest(),
        "drops": context.drops(),
    }


def phases(
    context: Context, step: str, embedding: str, references: int, others: int = 0
) -> Iterator[Phase[Any]]:
    """``drawn`` and ``references``; ``others``: pairs that come after the references, which ``drawn`` has too.

    Raises:
        JobError: no sample reaches the step.
        InputError: embeddings of several widths.
    """
    if not context.alive:
        raise nothing_reaches(step)
    dimension(context, step, embedding)
    wanted = min(references + others, context.alive)
    drawing = Drawing(context.job.seed, sample_bound(wanted, context.alive))
    tasks = EachPart(context.parts, inputs_of(context, embedding), drawing, buckets=1)
    yield Phase("drawn", draw, tasks)
    taking = Taking(min(references, context.alive))
    yield listed("references", take, [Task.whole("references", drawn(context, step), taking)])


def drawn(context: Context, step: str) -> Mapping[str, Sequence[Source]]:
    """The source of a task that reads what was drawn."""
    return {"drawn": context.done(step, "drawn").whole()}


def draw(io: TaskIo[Drawing]) -> Iterator[pa.Table]:
    """(hash, uid, image, text) of the living samples of one part whose hash is below the bound."""
    table = io.read("embedding", ["row", "image", "text"]).combine_chunks()
    rows = table["row"].to_numpy()
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(pa.array(rows))
    hashes = order.hashed(uid_words(uid), io.args.seed, "references")
    chosen = np.flatnonzero(io.living_mask()[rows] & (hashes <= np.uint64(io.args.below)))
    columns = {"hash": pa.array(hashes), "uid": uid, "image": table["image"], "text": table["text"]}
    yield pa.table(columns).take(pa.array(chosen))


def smallest(io: TaskIo[Any], wanted: int) -> pa.Table:
    """(uid, image, text) of the ``wanted`` pairs of the smallest hashes, in their order, of those under "drawn"."""
    table = io.read("drawn").combine_chunks()
    count = min(wanted, table.num_rows)
    rows = order.smallest(table["hash"].to_numpy(), uid_words(table["uid"]), count)
    return table.drop_columns(["hash"]).take(pa.array(rows)).combine_chunks()


def take(io: TaskIo[Taking]) -> Iterator[pa.Table]:
    """(uid, image, text) of the reference pairs."""
    yield smallest(io, io.args.wanted)


def living_pairs(
    io: TaskIo[Any], known: pa.Array
) -> tuple[pa.Array, Float16s, Float16s, npt.NDArray[np.int64]]:
    """The rows of one part's living samples, their vectors of both sides, and their numbers among references.

    ``known`` are the uids of those; -1 stands for none.
    """
    table = io.read("embedding", ["row", "image", "text"])
    table = table.filter(pa.array(io.living_mask()[table["row"].to_numpy()])).combine_chunks()
    row = table["row"].combine_chunks()
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(row)
    own = pc.fill_null(pc.index_in(uid, known), -1).to_numpy().astype(np.int64)
    return row, vectors(table["image"]), vectors(table["text"]), own
