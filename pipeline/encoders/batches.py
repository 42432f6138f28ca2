"""Batches of one fixed shape: a kernel's last bits may depend on the shape, and on nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Floats = NDArray[np.float32]


def encode_padded(
    fn: Callable[[Floats], Vectors], items: Floats, batch_size: int | None
) -> Vectors:
    """``fn`` over ``items`` (n, ...) in batches of exactly ``batch_size`` rows, (n, dim).

    The last batch is filled up with copies of its last row, whose vectors are thrown away. None: all in one call, for
    encoders that do not need it.
    """
    if batch_size is None:
        return fn(items)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: at least 1")
    if len(items) == 0:
        return fn(items)
    vectors = []
    for start in range(0, len(items), batch_size):
        batch = items[start : start + batch_size]
        vectors.append(fn(_filled(batch, batch_size - len(batch)))[: len(batch)])
    return np.concatenate(vectors)


def encode_distinct(fn: Callable[[list[str]], Vectors], texts: list[str]) -> Vectors:
    """``fn`` over ``texts``, with each distinct text encoded once, (n, dim)."""
    place: dict[str, int] = {}
    rows = [place.setdefault(text, len(place)) for text in texts]
    return fn(list(place))[np.asarray(rows, dtype=np.int64)]


def _filled(batch: Floats, missing: int) -> Floats:
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch
