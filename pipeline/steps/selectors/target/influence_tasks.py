"""Task functions of `measure: influence`: early heads with the target's gradient, and each pair's value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.choosing.influence import Influence, direction
from tamis.pipeline.steps.selectors.target.tasks import Measured
from tamis.pipeline.steps.shared import early_heads, vector_sets
from tamis.pipeline.steps.shared.early_heads import EARLY, heads_of, heads_table
from tamis.pipeline.steps.shared.reference_pairs import living_pairs
from tamis.pipeline.steps.shared.searched_rows import check_width
from tamis.pipeline.steps.shared.vector_sets import VectorSet
from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.columns import vectors
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.errors import InputError

ALONG = "gradient"
"""The role of the target's gradient, at the heads of the same run."""


@dataclass(frozen=True)
class Learning:
    """Arguments of ``learn``."""

    of: VectorSet
    references: int
    trained: int
    runs: int
    steps: int
    seed: int


def learn(io: TaskIo[Learning]) -> Iterator[pa.Table]:
    """Early heads, and for each pair of heads the target's mean gradient.

    Raises:
        InputError: the target is embedded in another width, or tells the heads nothing.
    """
    args = io.args
    target = vector_sets.pairs(args.of)
    found = []
    drawn = early_heads.learned(io, args.references, args.trained, args.runs, args.steps, args.seed)
    for learned, references in drawn:
        check_width(io, references[0].shape[1], target.image.shape[1], "a target")
        try:
            along = direction(learned, references, (target.image, target.text))
        except ValueError as error:
            raise InputError(
                f"{io.step}: {error}: take more pairs, or other heads (`seed`)"
            ) from None
        found += [(EARLY, learned.pair()), (ALONG, along)]
    yield heads_table(found)


@lru_cache(maxsize=1)
def _influences(
    root: str, paths: tuple[str, str], digests: tuple[str, str]
) -> tuple[pa.Array, list[Influence]]:
    """The uids of the references, and the influence by each pair of heads; kept by the process between tasks."""
    del digests  # part of the key: the same paths may hold others later
    table = part_files.read_file(root, paths[0])
    image, text = vectors(table["image"]), vectors(table["text"])
    heads = heads_of(part_files.read_file(root, paths[1]))
    made = [
        Influence(pair, along, image, text)
        for pair, along in zip(heads[EARLY], heads[ALONG], strict=True)
    ]
    return table["uid"].combine_chunks(), made


def influences(io: TaskIo[Measured]) -> Iterator[pa.Table]:
    """(row, value, nearest) of one part's living samples, the mean over all heads; ``nearest`` says nothing here."""
    (piece,) = io.slices("references")
    (heads,) = io.slices("target")
    paths, digests = (piece.path, heads.path), (piece.identity, heads.identity)
    known, made = _influences(io.root, paths, digests)
    row, image, text, own = living_pairs(io, known)
    total = np.zeros(len(image))
    for influence in made:
        total += influence(image, text, own).astype(np.float64)
    value = (total / len(made)).astype(np.float32)
    yield pa.table({"row": row, io.args.signal: value, "nearest": np.zeros(len(row), np.int32)})
