"""What the settings of several families of steps share."""

from __future__ import annotations

from pydantic import BaseModel, Field

from tamis.schemas.errors import JobError

CAPTIONS = (".txt", ".parquet")
"""Endings of files of captions that samples are compared with."""
VECTORS = (".npy", ".npz")
"""Endings of files of vectors, likewise."""

NO_VALUE = "no_value"
MISSING = {NO_VALUE: "the rule's signal has no value here"}
"""The reason of every step that decides by a signal."""


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
