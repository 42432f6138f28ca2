"""The difficulty of each pair among fixed reference pairs: those of the smallest hashes that reach the step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline.algorithms import order
from tamis.pipeline.algorithms.choosing.difficulty import Measure, References
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.concepts.concepts import dimension, sample_bound
from tamis.pipeline.steps.difficulty.config import Difficulty as Config
from tamis.pipeline.steps.shared.parts import embedding_named, embeds_captions, nothing_reaches
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import uid_words, vectors
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.phase import EachPart, Phase, listed
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job


@dataclass(frozen=True)
class Drawing:
    """Arguments of ``draw``."""

    seed: int
    below: int  # the bound that hashes stay at or below


@dataclass(frozen=True)
class Taking:
    """Arguments of ``take``."""

    wanted: int


@dataclass(frozen=True)
class Measured:
    """Arguments of ``values``."""

    signal: str
    measure: Measure
    temperature: float


class Difficulty(Step):
    """``drawn`` and ``references`` have the reference pairs, ``values`` the signal."""

    passing = ("drawn",)

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job
        self.embedding = embedding_named(job, config.embedding, config.name)
        self.embed = next(step for step in job.embeds if step.makes_embedding == self.embedding)

    def needs(self) -> Sequence[Product]:
        """The embedding."""
        return [product.embedding(self.embedding)]

    def makes(self) -> Mapping[Product, str]:
        """The measure, under the step's name."""
        return {product.signal(self.name): "values"}

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Captions are embedded too.

        Raises:
            JobError: they are not.
        """
        del inputs
        if not embeds_captions(self.job, self.embed):
            raise JobError(
                f"{self.name}: compares pictures with captions, and `{self.embed.name}` embeds pictures alone: "
                "use an encoder with a text tower, or give text embeddings"
            )

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        config, name = self.config, self.name
        if not context.alive:
            raise nothing_reaches(name)
        dimension(context, name, self.embedding)
        wanted = min(config.references, context.alive)
        inputs: dict[str, ByPart | Sequence[ByPart]] = {
            "embedding": context.embedding(self.embedding),
            "ingest": context.ingest(),
            "drops": context.drops(),
        }
        drawing = Drawing(self.job.seed, sample_bound(wanted, context.alive))
        yield Phase("drawn", draw, EachPart(context.parts, inputs, drawing, buckets=1))
        drawn = {"drawn": context.done(name, "drawn").whole()}
        yield listed("references", take, [Task.whole("references", drawn, Taking(wanted))])
        shared = {"references": context.done(name, "references").whole()}
        measured = Measured(name, config.measure, config.temperature)
        yield Phase("values", values, EachPart(context.parts, inputs, measured, shared=shared))


def draw(io: TaskIo[Drawing]) -> Iterator[pa.Table]:
    """(hash, uid, image, text) of the living samples of one part whose hash is below the bound."""
    table = io.read("embedding", ["row", "image", "text"]).combine_chunks()
    rows = table["row"].to_numpy()
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(pa.array(rows))
    hashes = order.hashed(uid_words(uid), io.args.seed, "references")
    chosen = np.flatnonzero(io.living()[rows] & (hashes <= np.uint64(io.args.below)))
    columns = {"hash": pa.array(hashes), "uid": uid, "image": table["image"], "text": table["text"]}
    yield pa.table(columns).take(pa.array(chosen))


def take(io: TaskIo[Taking]) -> Iterator[pa.Table]:
    """(uid, image, text) of the reference pairs, in the order of their hashes."""
    table = io.read("drawn").combine_chunks()
    count = min(io.args.wanted, table.num_rows)
    rows = order.smallest(table["hash"].to_numpy(), uid_words(table["uid"]), count)
    yield table.drop_columns(["hash"]).take(pa.array(rows))


@lru_cache(maxsize=1)
def _references(root: str, path: str, digest: str) -> tuple[pa.Array, References]:
    """The uids of the references, and their vectors; kept by the process between tasks."""
    del digest  # part of the key: the same path may hold others later
    table = part_files.read_file(root, path)
    pairs = References(vectors(table["image"]), vectors(table["text"]))
    return table["uid"].combine_chunks(), pairs


def values(io: TaskIo[Measured]) -> Iterator[pa.Table]:
    """(row, value) of one part's living samples."""
    (piece,) = io.slices("references")
    known, references = _references(io.root, piece.path, piece.identity)
    table = io.read("embedding", ["row", "image", "text"])
    table = table.filter(pa.array(io.living()[table["row"].to_numpy()])).combine_chunks()
    uid = io.read("ingest", ["uid"])["uid"].combine_chunks().take(table["row"].combine_chunks())
    own = pc.fill_null(pc.index_in(uid, known), -1).to_numpy().astype(np.int64)
    args = io.args
    image, text = vectors(table["image"]), vectors(table["text"])
    value = references.difficulty(image, text, own, args.measure, args.temperature)
    yield pa.table({"row": table["row"], args.signal: value})
