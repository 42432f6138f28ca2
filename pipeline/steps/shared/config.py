"""What the settings of several families of steps share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from tamis.schemas.errors import JobError

CAPTIONS = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".parq")
"""Endings of files of captions that samples are compared with: text of one a line, and the tables that are read."""
VECTORS = (".npy", ".npz")
"""Endings of files of vectors, likewise."""

NO_VALUE = "no_value"
MISSING = {NO_VALUE: "the rule's signal has no value here"}
"""The reason of every step that decides by a signal."""

RESOLUTION = 1e-6
"""Equal vectors of up to 2,048 numbers are this near, at least: they are halves that are compared in 32 bits."""


def check_epsilon(value: float) -> float:
    """An epsilon at which equal vectors are found.

    Raises:
        ValueError: a smaller one, or above 1.
    """
    if not RESOLUTION <= value <= 1:
        raise ValueError(
            f"epsilon is {value:g}: from {RESOLUTION:f} to 1, for below it not even equal vectors are told to be so: "
            f"{RESOLUTION:f} finds these"
        )
    return value


Epsilon = Annotated[
    float,
    AfterValidator(check_epsilon),
    WithJsonSchema({"type": "number", "minimum": RESOLUTION, "maximum": 1}),
]
"""How far a vector may be from another, as 1 - cosine."""


def nothing_reaches(step: str) -> JobError:
    """The error of a step that no sample reaches."""
    return JobError(f"{step}: no sample reaches the step: loosen what stands before it")


class EarlyHeads(BaseModel):
    """Settings of heads that a step trains."""

    runs: int = Field(
        4,
        ge=1,
        le=100,
        description="pairs of heads that are trained, each from another start; values are means over them",
    )
    steps: int = Field(
        40, ge=1, le=100_000, description="steps of 128 pairs for which early heads are trained"
    )
    trained: int = Field(
        32_768,
        ge=16,
        le=10_000_000,
        description="pairs that heads train on, at most: those whose hashes follow the references'",
    )
