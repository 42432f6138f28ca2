"""A small supervised model in fastText's own file format, version 12, its vectors given."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

_SIGN, _VERSION, _SOFTMAX, _SUPERVISED = 793712314, 12, 3, 3


def write_model(
    path: Path, words: Mapping[str, Sequence[float]], labels: Mapping[str, Sequence[float]]
) -> Path:
    """Words with their vectors, and labels with theirs: of a text's mean vector the softmax of the products."""
    dim = len(next(iter(words.values())))
    entries = [(word, 0) for word in words] + [(f"__label__{label}", 1) for label in labels]
    parts = [
        struct.pack("<2i", _SIGN, _VERSION),
        struct.pack("<12id", dim, 5, 5, 1, 5, 1, _SOFTMAX, _SUPERVISED, 0, 0, 0, 100, 1e-4),
        struct.pack("<3i2q", len(entries), len(words), len(labels), len(entries), -1),
        *(text.encode() + struct.pack("<xqb", 1, kind) for text, kind in entries),
    ]
    for vectors in (words, labels):
        matrix = np.array([*vectors.values()], "<f4")
        parts += [struct.pack("<?2q", False, *matrix.shape), matrix.tobytes()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(parts))
    return path


def rude(path: Path, weight: float = 3.0) -> Path:
    """A model that knows `idiot` as rude and `bird` as kind."""
    words = {"</s>": [0.0], "idiot": [weight], "bird": [-weight]}
    return write_model(path, words, {"rude": [1.0], "kind": [-1.0]})
