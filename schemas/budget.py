"""Laws of what passes over data cost, and the schema of ``budget.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tamis.schemas.model import Model

Interval = tuple[float, float]


class Bucket(Model):
    """Samples of one quality: after k passes over them their error falls with the power b 2^(-k/tau)."""

    samples: float = Field(gt=0, description="in it")
    b: float = Field(
        lt=0, ge=-10, description="the power by which the error falls in the first pass"
    )
    tau: float = Field(gt=0, le=10_000, description="passes after which b is half")
    b_interval: Interval | None = Field(None, description="of 95%, where it was fitted")
    tau_interval: Interval | None = Field(None, description="of 95%, where it was fitted")


class Law(Model):
    """error = a (samples / unit)^b + d, with b of each pass: a bucket of quality a row; by a signal the best first."""

    a: float = Field(gt=0, description="the error above d after `unit` samples")
    d: float = Field(0.0, ge=0, description="the error that no training gets below")
    unit: float = Field(1.0, gt=0, description="samples that count as one")
    signal: str | None = Field(None, description="by which the samples were put into buckets")
    best: Literal["highest", "lowest"] | None = Field(
        None,
        description="which of its values come first; by default those that the run keeps first by it, else the highest",
    )
    buckets: tuple[Bucket, ...] = Field(min_length=1, max_length=1_000)


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pool(_Record):
    """The first buckets together, and what a training on them ends at."""

    buckets: int
    samples: float
    passes: float
    error: float
    interval: Interval | None  # of 95%, where the law was fitted
    best_of: float | None  # share of the fit's draws in which no other pool has less error


class Budget(_Record):
    """All of ``budget.json``."""

    job: str
    version: Literal[1] = 1
    seen: float
    kept: int
    passes: float
    worth: float  # new samples that say as much as `seen` ones do
    law: Law | None
    pools: tuple[Pool, ...]
    setting: str | None  # by which the run keeps as many as the best pool has
    notes: tuple[str, ...]

    @property
    def best(self) -> Pool | None:
        """The pool with the least error; of equal ones the smallest."""
        return min(self.pools, key=lambda pool: pool.error, default=None)

    def to_json(self) -> bytes:
        """Bytes of the file."""
        return (self.model_dump_json(indent=1) + "\n").encode()
