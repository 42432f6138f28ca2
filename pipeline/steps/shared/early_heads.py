"""Heads that a step trains on pairs by hash, as a table: a row for each pair of heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.choosing.learned import Halves, Learned, Pair, Projection, learn
from tamis.pipeline.steps.shared import reference_pairs
from tamis.pipeline.tables.columns import vectors
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.errors import JobError

LEAST = 16
"""Pairs to train on, at least: a batch of fewer holds hardly any wrong answers."""

EARLY = "early"
"""The role of heads that have just begun to learn."""


def check_enough(step: str, alive: int) -> None:
    """Check that heads can be trained.

    Raises:
        JobError: on too few pairs.
    """
    if alive < LEAST:
        raise JobError(
            f"{step}: {alive:,} pairs reach the step, and heads train on at least {LEAST}: use a measure that trains "
            "none, or drop less before it"
        )


def learned(
    io: TaskIo[Any], references: int, trained: int, runs: int, steps: int, seed: int
) -> Iterator[tuple[Learned, tuple[Halves, Halves]]]:
    """Heads of each run, trained on the last ``trained`` of the pairs under "drawn"; and the reference pairs."""
    table = reference_pairs.smallest(io, references + trained)
    image, text = vectors(table["image"]), vectors(table["text"])
    known = image[:references], text[:references]
    for run in range(runs):
        yield learn(image[-trained:], text[-trained:], steps, seed, run), known


def heads_table(heads: Sequence[tuple[str, Pair]]) -> pa.Table:
    """A table of heads, each with its role."""
    columns: dict[str, Any] = {
        "role": [role for role, _ in heads],
        "temperature": pa.array([pair.temperature for _, pair in heads], pa.float64()),
    }
    for side in ("image", "text"):
        made: list[Projection] = [getattr(pair, side) for _, pair in heads]
        columns |= {
            f"{side}_weight": [np.ascontiguousarray(one.weight, "<f8").tobytes() for one in made],
            f"{side}_shift": [np.ascontiguousarray(one.shift, "<f8").tobytes() for one in made],
            f"{side}_factor": pa.array([one.factor for one in made], pa.float64()),
        }
    return pa.table(columns)


def heads_of(table: pa.Table) -> Mapping[str, list[Pair]]:
    """The inverse of ``heads_table``, by role."""
    found: dict[str, list[Pair]] = {}
    for row in table.to_pylist():
        pair = Pair(_projection(row, "image"), _projection(row, "text"), row["temperature"])
        found.setdefault(row["role"], []).append(pair)
    return found


def _projection(row: Mapping[str, Any], side: str) -> Projection:
    shift = np.frombuffer(row[f"{side}_shift"], "<f8")
    weight = np.frombuffer(row[f"{side}_weight"], "<f8").reshape(-1, len(shift))
    return Projection(weight, shift, row[f"{side}_factor"])
