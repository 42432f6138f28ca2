"""Queries: a text or a picture, encoded as the run's samples were; a sample's own vector; or a given vector."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tamis.pipeline import encoders
from tamis.pipeline.algorithms import nearest
from tamis.pipeline.algorithms.arrays import Float32Array, Float64Array, Int64Array
from tamis.pipeline.algorithms.choosing import target as likeness
from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.audit.search.stored import Embedding, Side
from tamis.pipeline.encoders.base import Encoder, Precision
from tamis.pipeline.host import devices
from tamis.pipeline.inputs.images import ImageDamage
from tamis.pipeline.steps.embed import decoding
from tamis.pipeline.steps.embed.config import Embed
from tamis.pipeline.steps.selectors.target.config import Target
from tamis.pipeline.steps.shared.audit import Row
from tamis.pipeline.steps.shared.origins import blocks, kind_of, origin
from tamis.pipeline.store import numpy_arrays, storage
from tamis.pipeline.tables.columns import Float16s
from tamis.schemas.errors import InputError, JobError


@dataclass(frozen=True)
class Query:
    """A vector to look for, float32 (d,) of length 1, and what it is the vector of."""

    vector: Float32Array
    what: str
    sid: int | None = None  # of the sample whose vector it is, which is not among the answers

    def above(self, rows: Float16s, bound: float) -> tuple[Int64Array, Float64Array]:
        """Positions and cosines of the rows whose cosine is ``bound`` or more."""
        return nearest.above(rows, self.vector, bound)


@dataclass(frozen=True)
class Several:
    """Vectors to look for together, of a finished run: what counts is the cosine to the nearest of them."""

    target: kmeans.Centroids
    what: str
    sid: None = None  # no sample is left out

    def above(self, rows: Float16s, bound: float) -> tuple[Int64Array, Float64Array]:
        """Positions and cosines of the rows whose cosine to the nearest vector is ``bound`` or more."""
        values = likeness.nearest(rows, self.target)[0].astype(np.float64)
        at = np.flatnonzero(values >= bound)
        return at, values[at]


@dataclass(frozen=True)
class Sought:
    """A query: exactly one of the first five."""

    text: str | None = None
    image: str | bytes | None = None  # a path, or the picture
    uid: str | None = None
    vector: str | npt.NDArray[np.generic] | None = None  # a path, or the array
    encoder: str | None = None  # of embeddings that came with the input
    like_run: str | None = None  # a finished run, for what it kept

    def check(self) -> None:
        """Raise JobError unless exactly one thing is sought."""
        options = ("text", "image", "uid", "vector", "like_run")
        given = [
            f"--{name.replace('_', '-')}" for name in options if getattr(self, name) is not None
        ]
        if len(given) != 1:
            said = f"{' and '.join(given)} are {len(given)} queries" if given else "no query"
            raise JobError(f"{said}: give one of --text, --image, --uid, --vector and --like-run")
        if self.encoder is not None and self.text is None and self.image is None:
            raise JobError(f"--encoder: nothing is encoded for {given[0]}: leave it out")


def made(embedding: Embedding, sought: Sought, side: Side) -> Query | Several:
    """The query as a vector; ``side``: whether a sample's picture or caption is meant.

    Raises:
        TamisError: as the functions below.
    """
    sought.check()
    if sought.text is not None:
        return of_text(embedding, sought.text, sought.encoder)
    if sought.uid is not None:
        return of_sample(embedding, sought.uid, side)
    if sought.image is not None:
        name, data = "the picture", sought.image
        if isinstance(data, str):
            name, data = data, read_picture(data)
        return of_picture(embedding, data, name, sought.encoder)
    if sought.like_run is not None:
        return of_run(embedding, sought.like_run, side)
    if isinstance(sought.vector, str):
        return of_vector(embedding, read_vector(sought.vector), sought.vector)
    assert sought.vector is not None, "one thing is sought"
    return of_vector(embedding, sought.vector, "the vector")


def of_text(embedding: Embedding, text: str, encoder: str | None = None) -> Query:
    """The vector of a text.

    Args:
        embedding: that is searched.
        text: any but an empty one.
        encoder: the encoder of embeddings that came with the input; the run's own by default.

    Raises:
        JobError: no encoder is known, or it has no text tower, or makes other vectors.
        ModelError: it cannot be loaded.
    """
    if not text.strip():
        raise JobError("--text is empty: write what to look for")
    config = _encoding(embedding, encoder)
    if not encoders.describe(config.spec, config.precision).has_text:
        raise JobError(f"--text: `{config.encoder}` encodes pictures alone: give --image or --uid")
    model = _loaded(config.encoder, config.device, config.precision)
    return Query(_fitting(embedding, model.encode_texts([text], config.batch_size)[0]), f'"{text}"')


def of_picture(embedding: Embedding, data: bytes, name: str, encoder: str | None = None) -> Query:
    """The vector of a picture, from its bytes; ``name`` is for messages, the rest as for ``of_text``.

    Raises:
        InputError: it is no picture, or damaged.
        JobError, ModelError: as ``of_text``.
    """
    config = _encoding(embedding, encoder)
    description = encoders.describe(config.spec, config.precision)
    assert description.preprocessing is not None, "a model that can be loaded has one"
    limit = int(embedding.run.manifest.job["limits"]["max_pixels"])
    try:
        shrinks = config.decoder == "shrink"
        pixels = decoding.pixels([data], description.preprocessing, limit, shrinks)
    except ImageDamage as damage:
        raise InputError(f"`{storage.redact(name)}` cannot be searched for: {damage}") from None
    model = _loaded(config.encoder, config.device, config.precision)
    (vectors,) = model.encode_images([pixels], config.batch_size)
    return Query(_fitting(embedding, vectors[0]), storage.redact(name))


def of_sample(embedding: Embedding, uid: str, side: Side) -> Query:
    """The stored vector of a sample: of its picture or its caption.

    Raises:
        InputError: no sample has that uid, or it has no vector.
    """
    row = embedding.run.named(uid.lower())
    if row is None:
        raise InputError(f"{uid}: no sample of this run has that uid: `tamis explain` finds keys")
    return of_row(embedding, row, side)


def of_row(embedding: Embedding, row: Row, side: Side) -> Query:
    """The stored vector of the sample of a ledger row.

    Raises:
        InputError: it has no vector.
    """
    vector = embedding.vector(row["sid"], side)
    if vector is None:
        raise InputError(
            f"{row['uid']}: has no vector, for it was dropped before `{embedding.config.name}` or by it: "
            f"{row['step']}: {row['reason']}"
        )
    return Query(_unit(vector), f"{row['key']} in {row['source']}", row["sid"])


def of_vector(embedding: Embedding, vector: npt.NDArray[np.generic], name: str) -> Query:
    """A given vector, (d,) or (1, d), of any length but zero.

    Raises:
        InputError: another shape, or numbers that are not finite.
    """
    rows = vector.reshape(1, -1) if vector.ndim == 1 else vector
    if rows.ndim != 2 or len(rows) != 1 or rows.dtype.kind not in "fiu":
        raise InputError(
            f"`{storage.redact(name)}`: one vector of {embedding.dim} numbers is needed, this is "
            f"{vector.dtype} {vector.shape}"
        )
    if rows.shape[1] != embedding.dim:
        raise InputError(
            f"`{storage.redact(name)}`: has {rows.shape[1]} numbers, the run's embeddings have {embedding.dim}: "
            "use a vector of the same encoder"
        )
    with np.errstate(over="ignore"):  # of a type wider than 64 bits: it is refused
        wide = rows[0].astype(np.float64)
    if not np.isfinite(wide).all() or not wide.any():
        raise InputError(f"`{storage.redact(name)}`: a vector is not zero, and all of it finite")
    return Query(_unit(wide), storage.redact(name))


def of_run(embedding: Embedding, path: str, side: Side) -> Several:
    """The vectors of what a finished run kept, as a step `target` takes them: of very many some, by their hashes.

    Raises:
        JobError, StateError: it is no finished run, or another encoder has embedded it.
        InputError: its vectors cannot be read.
    """
    if kind_of(path) != "run":
        raise JobError(f"--like-run {path}: is a file: name the directory of a finished run")
    most = Target.model_fields["most"].default
    of = origin("--like-run", path, embedding.config, embedding.run.seed, side, most)
    rows = np.concatenate([block.rows for block in blocks(of, None)])
    return Several(kmeans.Centroids(rows), f"what {storage.redact(path)} kept")


def read_vector(path: str) -> npt.NDArray[np.generic]:
    """The array of a ``.npy`` file.

    Raises:
        InputError: there is no such file, or it is none.
    """
    try:
        data = storage.read_bytes(path)
    except FileNotFoundError:
        raise _absent(path) from None
    if numpy_arrays.is_archive(data):
        raise InputError(f"`{storage.redact(path)}`: is an .npz: save one vector as .npy")
    try:
        return numpy_arrays.load_array(data)
    except ValueError as error:
        raise InputError(f"`{storage.redact(path)}`: is no .npy file of numbers: {error}") from None


def read_picture(path: str) -> bytes:
    """The bytes of a picture's file; InputError if there is none."""
    try:
        return storage.read_bytes(path)
    except FileNotFoundError:
        raise _absent(path) from None


def _absent(path: str) -> InputError:
    return InputError(f"no file `{storage.redact(path)}`: {storage.nearest_directory(path)}")


def _encoding(embedding: Embedding, encoder: str | None) -> Embed:
    """The settings to encode with, on a device that is here."""
    config = embedding.config
    if config.takes_embeddings:
        if encoder is None:
            raise JobError(
                "this run's embeddings came with its input: say with --encoder which model made them, "
                "or give --uid or --vector"
            )
        config = config.model_copy(update={"encoder": encoder, "device": "cpu"})
    elif config.own is not None:
        raise JobError(
            f"this run's encoder is code of its own, {config.encoder}, and to read a run imports nothing: give --uid "
            "or --vector"
        )
    elif encoder is not None:
        raise JobError(
            f"--encoder {encoder}: this run's own is `{config.encoder}`: leave the option out"
        )
    return config if config.device == "cpu" or devices.has_cuda() else config.without_gpu()


@lru_cache(maxsize=1)
def _loaded(spec: str, device: str, precision: Precision) -> Encoder:
    """The model, kept from one query of this process to the next."""
    return encoders.load(spec, device, precision)


def _fitting(embedding: Embedding, vector: Float32Array) -> Float32Array:
    if len(vector) != embedding.dim:
        raise JobError(
            f"the encoder's vectors have {len(vector)} numbers, the run's embeddings have {embedding.dim}: "
            "name with --encoder the model that made them"
        )
    if not np.isfinite(vector).all() or not vector.any():
        raise InputError("the query's vector is zero or not finite: ask for something else")
    return vector


def _unit(vector: npt.NDArray[np.floating]) -> Float32Array:
    wide = vector.astype(np.float64)
    wide /= np.abs(wide).max()  # so that no square is too large or too small for a number
    return (wide / np.linalg.norm(wide)).astype(np.float32)
