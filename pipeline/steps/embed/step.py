"""Encode the pictures and captions of living samples, or take the embeddings that came with the input.

A row's embedding depends on its own picture and caption, the encoder, the batch shape and the class of device,
and not on its neighbours in the batch: rows that an earlier run of the same encoder has stored are taken over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipeline import encoders
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.encoders.base import Encoder, Precision
from tamis.pipeline.encoders.own import FailedRowError, Own
from tamis.pipeline.host import at_work
from tamis.pipeline.inputs import embedding_files
from tamis.pipeline.inputs.formats import PICTURE_COLUMNS, format_of
from tamis.pipeline.inputs.input_files import BY_ALIAS, InputFile, Reading
from tamis.pipeline.signals import plugin_files
from tamis.pipeline.steps.embed import decoding
from tamis.pipeline.steps.embed.config import BAD_EMBEDDING, MISSING_EMBEDDING
from tamis.pipeline.steps.embed.config import Embed as Config
from tamis.pipeline.steps.shared.over_embedding import embeds_captions
from tamis.pipeline.steps.shared.own_code import with_class
from tamis.pipeline.steps.shared.verdicts import drops
from tamis.pipeline.store import storage
from tamis.pipeline.tables.columns import vector_column
from tamis.pipeline.tasks import product
from tamis.pipeline.tasks.phase import VERDICT, EachPart, Phase
from tamis.pipeline.tasks.product import Product
from tamis.pipeline.tasks.step import Context, Step
from tamis.pipeline.tasks.task import TaskIo, location
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.nearest import nearest

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """Arguments of ``encode`` and ``take``."""

    encoder: str  # the identity of its weights and its preprocessing
    spec: str  # as the job names it
    batch_size: int
    precision: Precision
    device: str
    signal: str  # the name of the cosine of picture and caption
    source: tuple[str, str, str, int]  # the input file: entry, relative name, kind, bytes
    path: str = location()
    max_pixels: int = location()
    image: str | None = location()  # the addresses of embeddings that came with the input
    text: str | None = location()
    own: Own | None = location()  # the encoder, where it is a class of the user's own
    decoder: str | None = None  # None for full decoding
    text_rows: int | None = None  # on a CPU texts of one width go through in any number
    given: Mapping[str, Sequence[str | int]] | None = None  # identities of embedding files
    reading: Reading | None = None
    captions: bool | None = None  # False where the pictures alone are encoded


class Embed(Step):
    """``vectors`` a part, on workers that keep the model; ``verdict``: samples without a usable embedding."""

    version = 2

    def __init__(self, config: Config, job: Job) -> None:
        self.config, self.name, self.job = config, config.name, job
        self.signal, _ = config.similarity(job.steps)

    def makes(self) -> Mapping[Product, str]:
        """The embedding, and the cosine of picture and caption as a signal."""
        makes = {product.embedding(self.config.as_): "vectors"}
        if embeds_captions(self.job, self.config):
            makes[product.signal(self.signal)] = "vectors"
        return makes

    def check(self, inputs: Sequence[InputFile]) -> None:
        """Check that the model can be loaded, or that the input's embeddings exist and fit it and each other.

        Raises:
            ModelError, JobError, InputError: one line.
        """
        encoders.describe(self.config.spec, self.config.precision)
        if self.config.takes_embeddings:
            name = self.config.taken_embedding
            for file in inputs:
                if "image" not in file.embeddings(name):
                    raise JobError(_bare(self.name, file, name))
            embedding_files.check(inputs, name)

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """``vectors``, then ``verdict``."""
        config = self.config
        identity = encoders.describe(config.spec, config.precision).fingerprint
        if config.own is not None and config.own.packed is not None:
            plugin_files.keep(context.root, config.own.packed)
        takes = config.takes_embeddings
        name = config.taken_embedding
        stamps = embedding_files.stamps(context.inputs, name) if takes else {}
        if takes:
            ingested = context.done("ingest", "files").files
            rows = np.add.reduceat(ingested.rows, ingested.starts)
            embedding_files.check_counted(context.inputs, rows.tolist(), name)
        yield Phase(
            "vectors",
            take if takes else encode,
            EachPart(
                context.parts,
                {"ingest": context.ingest(), "drops": context.drops()},
                each=lambda part: self._encoded(context.inputs[part.file], identity, stamps),
                bundle=1,
            ),
            config.claim(self.job.resources),
            per_row=True,
            by_sample=True,
            carries_bytes=True,
            reads_embedding_files=takes,
        )
        vectors = {"vectors": context.at(self.name, "vectors")}
        yield Phase(VERDICT, decide, EachPart(context.parts, vectors))

    def _encoded(
        self, file: InputFile, identity: str, stamps: Mapping[str, storage.File]
    ) -> Encoded:
        config = self.config
        given: dict[str, list[str | int]] | None = None
        addresses = file.embeddings(config.taken_embedding)
        if config.takes_embeddings:
            given = {side: _stamp(path, stamps) for side, path in addresses.items()}
        return Encoded(
            encoder=identity,
            spec=config.encoder,
            batch_size=config.batch_size,
            precision=config.precision,
            device=config.device,
            signal=self.signal,
            source=(file.entry, file.relative, file.kind, file.size),
            decoder=None if config.decoder == "full" else config.decoder,
            text_rows=None if config.device == "cpu" else config.batch_size,
            given=given,
            path=file.path,
            max_pixels=self.job.limits.max_pixels,
            image=addresses.get("image"),
            text=addresses.get("text") if self.job.has_captions else None,
            reading=file.reading.told,
            captions=None if self.job.has_captions else False,
            own=config.own.spec if config.own is not None else None,
        )


def _bare(step: str, file: InputFile, name: str) -> str:
    """The message about a file without the embeddings that a step takes."""
    if not name:
        named = [other for other in file.embedded if other]
        mend = (
            f", or name one: {', '.join(f'precomputed:{other}' for other in named)}"
            if named
            else ""
        )
        return (
            f"{step}: `precomputed` needs embeddings, but {file.source} comes without: "
            f"give its input entry `image_embeddings:` or `features: true`{mend}"
        )
    return (
        f"{step}: `precomputed:{name}`: {file.source} has no embeddings of that name"
        f"{nearest(name, [other for other in file.embedded if other])}: give its input entry "
        f"`embeddings: {{{name}: {{image: PATTERN}}}}`"
    )


def _stamp(address: str, stamps: Mapping[str, storage.File]) -> list[str | int]:
    """The identity of an embedding file: size in bytes, stamp, and the member's name."""
    path, _, member = address.partition("#")
    return [stamps[path].size, stamps[path].stamp, member]


@lru_cache(maxsize=1)
def _encoder(
    root: str, spec: str | Own, device: str, precision: Precision, identity: str
) -> Encoder:
    """The model of this worker, kept from task to task. One thread: workers, not threads, fill the machine."""
    import torch

    del identity  # other weights may lie at the same path
    torch.set_num_threads(1)
    return encoders.load(with_class(root, spec), device, precision)


def encode(io: TaskIo[Encoded]) -> Iterator[pa.Table]:
    """(row, image, text, reason, similarity) of one part's living samples, by the model."""
    args = io.args
    spec = args.own or args.spec
    root = io.root if args.own else ""
    encoder = _encoder(root, spec, args.device, args.precision, args.encoder)
    ingest = io.read("ingest", ["key", "text", *PICTURE_COLUMNS])
    rows = io.living_rows()
    living = ingest.take(pa.array(rows))
    entry, relative, kind, size = args.source
    file = InputFile(entry, relative, args.path, kind, size, reading=args.reading or BY_ALIAS)
    description = encoders.describe(spec, args.precision)
    assert description.preprocessing is not None  # `precomputed` alone has none
    image = np.zeros((len(rows), encoder.dim), dtype=np.float32)
    how = decoding.Decoding(
        args.batch_size, args.max_pixels, args.decoder == "shrink", args.device != "cpu"
    )
    pictures = format_of(file).pictures(file, living)
    batches = decoding.batches(pictures, description.preprocessing, how, io.ahead)
    tells = description.has_text and args.captions is not False
    captions = partial(_captions, encoder, living, args.batch_size, file.source)
    # Tokens are made while a GPU works on pictures. A class of the user's own need not bear two threads.
    early = tells and how.beside_gpu and args.own is None
    with ThreadPoolExecutor(1) as beside:
        told = beside.submit(captions) if early else None
        start = 0
        with _named(living["key"], file.source):
            for vectors in encoder.encode_images(batches, args.batch_size):
                image[start : start + len(vectors)] = vectors
                start += len(vectors)
                at_work.advance(len(vectors))
        text = told.result() if told else captions() if tells else None
    yield _table(io, rows, image, text)


def _captions(encoder: Encoder, living: pa.Table, batch_size: int, source: str) -> Floats:
    """The captions' vectors, (n, dim); each distinct caption is encoded once."""
    numbers: dict[str, int] = {}
    captions = [caption or "" for caption in living["text"].to_pylist()]
    rows = np.array([numbers.setdefault(caption, len(numbers)) for caption in captions], np.int64)
    with _named(living["key"].take(pa.array(np.unique(rows, return_index=True)[1])), source):
        return encoder.encode_texts(list(numbers), batch_size)[rows]


@contextmanager
def _named(keys: pa.ChunkedArray, source: str) -> Iterator[None]:
    """An error of a class of the user's own says which sample it concerns."""
    try:
        yield
    except FailedRowError as failed:
        raise failed.on(f"the sample {keys[failed.row].as_py()} of {source}") from None


def take(io: TaskIo[Encoded]) -> Iterator[pa.Table]:
    """The table of ``encode`` from the embeddings that came with the input; a row beyond its file's end has none."""
    ingest = io.read("ingest", ["file_row"])
    rows = io.living_rows()
    positions = ingest["file_row"].to_numpy()[rows]
    assert io.args.image is not None, "the plan has checked that embeddings come with every file"
    image, present = _rows(io.args.image, positions)
    text = None
    if io.args.text:
        text, text_present = _rows(io.args.text, positions)
        text, present = _unit(text), present & text_present
    yield _table(io, rows, _unit(image), text, present)


def _rows(address: str, positions: npt.NDArray[np.int64]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The rows of an embedding file (``path`` or ``path.npz#member``) at ``positions``, ascending, in one read.

    Returns:
        float32 (n, dim), zeros where the file has no such row, and bool (n,), True where it has.
    """
    with embedding_files.open_matrix(address) as (file, matrix):
        present = positions < matrix.rows
        vectors = np.zeros((len(positions), matrix.dim), dtype=np.float32)
        rows = positions[present]
        if len(rows):
            first, stop = int(rows[0]), int(rows[-1]) + 1
            vectors[present] = embedding_files.read_rows(file, matrix, first, stop)[rows - first]
    return vectors, present


def _unit(vectors: Floats) -> Floats:
    """Rows of length 1; a row that is zero or not finite stays as it is."""
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        length[~(np.isfinite(length) & (length > 0))] = 1.0
        unit: Floats = (vectors / length[:, None]).astype(np.float32)
    return unit


def embeddings_at(address: str, positions: npt.NDArray[np.int64]) -> Floats:
    """Rows of an embedding file at ``positions``, ascending, as ``take`` stores them but in float32."""
    vectors, _ = _rows(address, positions)
    return _unit(vectors)


def _table(
    io: TaskIo[Encoded],
    rows: npt.NDArray[np.int64],
    image: Floats,
    text: Floats | None,
    present: npt.NDArray[np.bool_] | None = None,
) -> pa.Table:
    """The embedding table of a part; an unusable row has a reason, and zeros for numbers."""
    usable = kmeans.usable(image)
    if text is not None:
        usable &= kmeans.usable(text)
        text = np.where(usable[:, None], text, np.float32(0))
    image = np.where(usable[:, None], image, np.float32(0))
    io.notes["dim"] = int(image.shape[1])
    reason = np.where(usable, "", BAD_EMBEDDING).astype(object)
    if present is not None:
        reason[~present] = MISSING_EMBEDDING
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
