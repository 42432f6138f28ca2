"""Encode the pictures and captions of what is alive, or take the embeddings that came with the input.

A row's embedding depends on its own picture and caption, the encoder, the batch shape and the class of device,
and not on its neighbours in the batch: what an earlier run of the same encoder has stored is taken over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline import encoders
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.encoders.base import Encoder, Precision
from tamis.pipeline.inputs import embedding_files
from tamis.pipeline.inputs.formats import PICTURE_COLUMNS, format_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.embed import decoding
from tamis.pipeline.steps.embed.config import BAD_EMBEDDING, MISSING_EMBEDDING
from tamis.pipeline.steps.embed.config import Embed as Config
from tamis.pipeline.steps.shared.parts import drops, part_task
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import vector_column
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import Part, Phase, Task, TaskIo, location
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """Arguments of ``encode`` and ``take``."""

    encoder: Mapping[str, Any] | str  # what tells its weights and its preprocessing from others
    spec: str  # as the job names it
    batch_size: int
    precision: Precision
    device: str
    signal: str  # what the cosine of picture and caption is called
    source: tuple[str, str, str, int]  # the input file: entry, relative name, kind, bytes
    path: str = location()
    max_pixels: int = location()
    image: str | None = location()  # the addresses of embeddings that came with the input
    text: str | None = location()
    decoder: str | None = None  # what was decoded in full is known without it
    text_rows: int | None = None  # on a CPU texts of one width go through in any number
    given: Mapping[str, Sequence[str | int]] | None = None  # what tells embedding files from others


class Embed(Step):
    """``vectors`` a part, on workers that keep the model; ``verdict``: what has no usable embedding."""

    version = 2

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job
        first = job.embeds[0].name == config.name
        self.signal = "clip_similarity" if first else f"{config.as_}_similarity"

    def makes(self) -> Mapping[str, str]:
        """The embedding, and the cosine of picture and caption as a signal."""
        made = {f"embedding:{self.config.as_}": "vectors"}
        if self._has_text():
            made[f"signal:{self.signal}"] = "vectors"
        return made

    def _has_text(self) -> bool:
        if self.config.takes_embeddings:
            return all(entry.features or entry.text_embeddings for entry in self.job.input)
        return encoders.describe(self.config.encoder, self.config.precision).has_text

    def check(self, inputs: Sequence[InputFile]) -> None:
        """The model can be had; embeddings that should come with the input are there, and fit it and each other.

        Raises:
            ModelError, JobError, InputError: one line.
        """
        encoders.describe(self.config.encoder, self.config.precision)
        if self.config.takes_embeddings:
            bare = [file.source for file in inputs if file.image_embeddings is None]
            if bare:
                raise JobError(
                    f"{self.name}: `precomputed` needs embeddings, but {bare[0]} comes without: "
                    "give its input entry `image_embeddings:` or `features: true`"
                )
            embedding_files.check(inputs)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """See the class."""
        config = self.config
        identity = encoders.describe(config.encoder, config.precision).fingerprint
        given = config.takes_embeddings
        yield Phase(
            "vectors",
            take if given else encode,
            [self._task(context, part, identity) for part in context.parts],
            config.claim(self.job.resources),
            per_row=True,
            by_sample=True,
            reads_beside=given,
        )
        tasks: list[Task[None]] = [
            part_task(part, {"vectors": [context.at(self.name, "vectors", part)]})
            for part in context.parts
        ]
        yield Phase("verdict", decide, tasks)

    def _task(self, context: Context, part: Part, identity: Any) -> Task[Encoded]:
        file, config = context.inputs[part.file], self.config
        stamps = None
        if config.takes_embeddings:
            beside = {"image": file.image_embeddings, "text": file.text_embeddings}
            stamps = {name: _stamped(path) for name, path in beside.items() if path}
        args = Encoded(
            encoder=identity,
            spec=config.encoder,
            batch_size=config.batch_size,
            precision=config.precision,
            device=config.device,
            signal=self.signal,
            source=(file.entry, file.relative, file.kind, file.size),
            decoder=None if config.decoder == "full" else config.decoder,
            text_rows=None if config.device == "cpu" else config.batch_size,
            given=stamps,
            path=file.path,
            max_pixels=self.job.limits.max_pixels,
            image=file.image_embeddings,
            text=file.text_embeddings,
        )
        return part_task(
            part, {"ingest": [context.ingest(part)], "drops": context.drops(part)}, args
        )


@lru_cache(maxsize=4096)
def _stamped(address: str) -> list[str | int]:
    """What tells an embedding file from one that was written in its place: size, stamp, and the member's name."""
    path, _, member = address.partition("#")
    file = storage.stat(path)
    return [file.size, file.stamp, member]


@lru_cache(maxsize=1)
def _encoder(spec: str, device: str, precision: Precision) -> Encoder:
    """The model of this worker, kept from task to task. One thread: workers, not threads, fill the machine."""
    import torch

    torch.set_num_threads(1)
    return encoders.load(spec, device, precision)


def encode(io: TaskIo[Encoded]) -> Iterator[pa.Table]:
    """(row, image, text, reason, similarity) of one part's living samples, by the model."""
    args = io.args
    encoder = _encoder(args.spec, args.device, args.precision)
    ingest = io.read("ingest", ["text", *PICTURE_COLUMNS])
    rows = io.alive(ingest.num_rows)
    living = ingest.take(pa.array(rows))
    entry, relative, kind, size = args.source
    source = InputFile(entry, relative, args.path, kind, size)
    described = encoders.describe(args.spec, args.precision)
    assert described.preprocessing is not None  # of `precomputed` no picture is read
    image = np.zeros((len(rows), encoder.dim), dtype=np.float32)
    how = decoding.Decoding(
        args.batch_size, args.max_pixels, args.decoder == "shrink", args.device != "cpu"
    )
    pictures = format_of(source).pictures(source, living)
    batches = decoding.batches(pictures, described.preprocessing, how, io.ahead)
    start = 0
    for vectors in encoder.encode_images(batches, args.batch_size):
        image[start : start + len(vectors)] = vectors
        start += len(vectors)
    text = None
    if described.has_text:
        captions = [caption or "" for caption in living["text"].to_pylist()]
        text = _captions(encoder, captions, args.batch_size)
    yield _table(io, rows, image, text)


def _captions(encoder: Encoder, captions: Sequence[str], batch_size: int) -> Floats:
    """Their vectors; each distinct one is encoded once."""
    place: dict[str, int] = {}
    rows = [place.setdefault(caption, len(place)) for caption in captions]
    return encoder.encode_texts(list(place), batch_size)[np.asarray(rows, dtype=np.int64)]


def take(io: TaskIo[Encoded]) -> Iterator[pa.Table]:
    """The same, from the embeddings that came with the input. A row beyond the end of its file has none."""
    ingest = io.read("ingest", ["file_row"])
    rows = io.alive(ingest.num_rows)
    places = ingest["file_row"].to_numpy()[rows]
    assert io.args.image is not None, "the plan has checked that embeddings come with every file"
    image, there = _rows(io.args.image, places)
    text = None
    if io.args.text:
        text, also = _rows(io.args.text, places)
        text, there = _unit(text), there & also
    yield _table(io, rows, _unit(image), text, there)


def _rows(address: str, places: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The rows of an embedding file (``path`` or ``path.npz#member``) at ``places``, ascending, in one read.

    Returns:
        float32 (n, dim), zeros where the file has no such row, and (n,) whether it has.
    """
    with embedding_files.opened(address) as (file, matrix):
        there = places < matrix.rows
        vectors = np.zeros((len(places), matrix.dim), dtype=np.float32)
        found = places[there]
        if len(found):
            first, stop = int(found[0]), int(found[-1]) + 1
            vectors[there] = embedding_files.rows(file, matrix, first, stop)[found - first]
    return vectors, there


def _unit(vectors: Floats) -> Floats:
    """Rows of length 1; a row that is zero or not finite stays as it is."""
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        length[~(np.isfinite(length) & (length > 0))] = 1.0
        unit: Floats = (vectors / length[:, None]).astype(np.float32)
    return unit


def given_rows(address: str, places: npt.NDArray[np.int64]) -> Floats:
    """The embeddings of the rows at ``places``, ascending, as ``take`` stores them but for their precision."""
    vectors, _ = _rows(address, places)
    return _unit(vectors)


def _table(
    io: TaskIo[Encoded],
    rows: npt.NDArray[np.int64],
    image: Floats,
    text: Floats | None,
    there: npt.NDArray[np.bool_] | None = None,
) -> pa.Table:
    """The embedding table of a part. What cannot be used has a reason, and zeros for numbers."""
    usable = kmeans.usable(image)
    if text is not None:
        usable &= kmeans.usable(text)
        text = np.where(usable[:, None], text, np.float32(0))
    image = np.where(usable[:, None], image, np.float32(0))
    io.notes["dim"] = int(image.shape[1])
    reason = np.where(usable, "", BAD_EMBEDDING).astype(object)
    if there is not None:
        reason[~there] = MISSING_EMBEDDING
    columns: dict[str, Any] = {
        "row": rows.astype(np.uint32),
        "image": vector_column(image.astype(np.float16)),
    }
    if text is not None:
        columns["text"] = vector_column(text.astype(np.float16))
        cosine = np.einsum("ij,ij->i", image, text, dtype=np.float64)
        columns[io.args.signal] = pa.array(cosine, mask=~usable)
    return pa.table({**columns, "reason": pa.array(reason, pa.string(), mask=usable)})


def decide(io: TaskIo[None]) -> Iterator[pa.Table]:
    """The samples of one part without a usable embedding."""
    table = io.read("vectors", ["row", "reason"])
    bad = table.filter(pc.is_valid(table["reason"]))
    yield drops(io, bad["row"].to_numpy(), bad["reason"].to_pylist())
