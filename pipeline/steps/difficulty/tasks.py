"""Task functions of `difficulty`: heads, and each pair's value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.choosing.difficulty import Measure, References
from tamis.pipeline.algorithms.choosing.learned import Halves, Pair, learn
from tamis.pipeline.steps.shared import early_heads, vector_sets
from tamis.pipeline.steps.shared.early_heads import EARLY, LEAST, heads_of, heads_table
from tamis.pipeline.steps.shared.reference_pairs import living_pairs
from tamis.pipeline.steps.shared.vector_sets import VectorSet
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import vectors
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.errors import InputError

TRUSTED = "trusted"
"""The role of heads that a trusted run has trained."""


@dataclass(frozen=True)
class Training:
    """Arguments of ``train``."""

    references: int
    trained: int
    runs: int
    steps: int
    seed: int
    trusted: VectorSet | None
    trusted_steps: int


@dataclass(frozen=True)
class Measured:
    """Arguments of ``values``."""

    signal: str
    measure: str
    temperature: float


def train(io: TaskIo[Training]) -> Iterator[pa.Table]:
    """Early heads, and those of the trusted run.

    Raises:
        StateError, InputError: the trusted run has changed, kept too little, or is embedded in another width.
    """
    args = io.args
    drawn = early_heads.learned(io, args.references, args.trained, args.runs, args.steps, args.seed)
    found = [(EARLY, one.pair()) for one, _ in drawn]
    if args.trusted is not None:
        pairs = vector_sets.pairs(args.trusted)
        dim = len(found[0][1].image.weight)
        if pairs.image.shape[1] != dim:
            raise InputError(
                f"{io.step}: trusted vectors of {pairs.image.shape[1]:,} numbers, and the samples' have {dim:,}: both "
                "need one encoder"
            )
        if len(pairs.image) < LEAST:
            raise InputError(
                f"{io.step}: the trusted run kept {len(pairs.image):,} pairs, and heads train on at least {LEAST}: "
                "give a larger one"
            )
        for run in range(args.runs):
            learned = learn(pairs.image, pairs.text, args.trusted_steps, args.seed, run)
            found.append((TRUSTED, learned.pair()))
    yield heads_table(found)


@lru_cache(maxsize=1)
def _references(root: str, path: str, digest: str) -> tuple[pa.Array, References]:
    """The uids of the references, and the pairs; kept by the process between tasks."""
    del digest  # part of the key: the same path may hold others later
    uid, image, text = _read(root, path)
    return uid, References(image, text)


def _read(root: str, path: str) -> tuple[pa.Array, Halves, Halves]:
    table = part_files.read_file(root, path)
    return table["uid"].combine_chunks(), vectors(table["image"]), vectors(table["text"])


Projected = Mapping[str, list[tuple[Pair, References]]]
"""By role, each pair of heads and the references as it projects them."""


@lru_cache(maxsize=1)
def _projected(
    root: str, paths: tuple[str, str], digests: tuple[str, str]
) -> tuple[pa.Array, Projected]:
    """The same with heads."""
    del digests
    uid, image, text = _read(root, paths[0])
    heads = heads_of(part_files.read_file(root, paths[1]))
    return uid, {
        role: [(pair, pair.references(image, text)) for pair in pairs]
        for role, pairs in heads.items()
    }


def values(io: TaskIo[Measured]) -> Iterator[pa.Table]:
    """(row, value) of one part's living samples."""
    (piece,) = io.slices("references")
    known, references = _references(io.root, piece.path, piece.identity)
    row, image, text, own = living_pairs(io, known)
    args = io.args
    measure: Measure = "el2n" if args.measure == "el2n" else "cliploss"
    value = references.difficulty(image, text, own, measure, args.temperature)
    yield pa.table({"row": row, args.signal: value})


def values_by_heads(io: TaskIo[Measured]) -> Iterator[pa.Table]:
    """The same by heads: the mean loss under early ones, for `learnability` less that under trusted ones."""
    (piece,) = io.slices("references")
    (heads,) = io.slices("heads")
    paths, digests = (piece.path, heads.path), (piece.identity, heads.identity)
    known, projected = _projected(io.root, paths, digests)
    row, image, text, own = living_pairs(io, known)
    total = np.zeros(len(image))
    roles = {EARLY: 1, TRUSTED: -1} if io.args.measure == "learnability" else {EARLY: 1}
    for role, sign in roles.items():
        for pair, references in projected[role]:
            total += sign * pair.loss(references, image, text, own).astype(np.float64)
    runs = len(projected[EARLY])
    yield pa.table({"row": row, io.args.signal: (total / runs).astype(np.float32)})
