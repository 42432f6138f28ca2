"""Queries of a search: what is asked for, and the vector of a sample or of a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.pipeline.algorithms import nearest
from tamis.pipeline.algorithms.arrays import Float32Array, Float64Array, Int64Array
from tamis.pipeline.audit.search.stored import Embedding, Side
from tamis.pipeline.steps.shared.audit import Row
from tamis.pipeline.store import numpy_arrays, storage
from tamis.pipeline.tables.columns import Float16s
from tamis.schemas.errors import InputError, JobError


@dataclass(frozen=True)
class Query:
    """A vector to look for, float32 (d,) of length 1, and what it is the vector of."""

    vector: Float32Array
    what: str
    sid: int | None = None  # of the sample whose vector it is, which is not among the answers

    def above(
        self, rows: Float16s, bound: float, most: int | None
    ) -> tuple[Int64Array, Float64Array]:
        """Positions and cosines of the rows whose cosine is ``bound`` or more; of the ``most`` largest, at least."""
        return nearest.above(rows, self.vector, bound, most)


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
        """Raise JobError unless exactly one thing is sought, and texts are texts."""
        options = ("text", "image", "uid", "vector", "like_run")
        given = [
            f"--{name.replace('_', '-')}" for name in options if getattr(self, name) is not None
        ]
        for name in ("text", "uid", "encoder", "like_run"):
            value = getattr(self, name)
            if not (value is None or isinstance(value, str)):
                raise JobError(f"--{name.replace('_', '-')} {value!r}: is no text")
        if len(given) != 1:
            said = f"{' and '.join(given)} are {len(given)} queries" if given else "no query"
            raise JobError(f"{said}: give one of --text, --image, --uid, --vector and --like-run")
        if self.encoder is not None and self.text is None and self.image is None:
            raise JobError(f"--encoder: nothing is encoded for {given[0]}: leave it out")


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


def _unit(vector: npt.NDArray[np.floating]) -> Float32Array:
    wide = vector.astype(np.float64)
    wide /= np.abs(wide).max()  # so that no square is too large or too small for a number
    return (wide / np.linalg.norm(wide)).astype(np.float32)
