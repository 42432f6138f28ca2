"""Queries by a text or a picture, encoded as the run's samples were."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tamis.pipeline import encoders
from tamis.pipeline.algorithms.arrays import Float32Array
from tamis.pipeline.audit.search.query import Query
from tamis.pipeline.audit.search.stored import Embedding
from tamis.pipeline.encoders.base import Encoder, Precision
from tamis.pipeline.host import devices
from tamis.pipeline.inputs.images import ImageDamage
from tamis.pipeline.steps.embed import decoding
from tamis.pipeline.steps.embed.config import Embed
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, JobError


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
