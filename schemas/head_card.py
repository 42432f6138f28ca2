"""The schema of the file beside a fitted head, which says what it was made from and what it can do.

The same runs, options and seed give the same bytes on one class of processor.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["classifier", "pair", "mix"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Made(_Record):
    """A run that a head was made from."""

    job: str
    sha256: str  # of its manifest.json, which has the digests of all else


class Area(_Record):
    """An AUC, the probability that a trusted pair scores higher than one of the pool, and its 95% interval."""

    value: float
    low: float
    high: float


class Counts(_Record):
    """Pairs of each set, as fitted and as held out."""

    trusted: int
    pool: int
    trusted_held: int
    pool_held: int
    overlap: int  # of the pool, left out: the trusted set has the same sample or picture


class Extreme(_Record):
    """The pool's held-out pairs at one end of the scores."""

    pairs: int
    words: str  # that its captions have and those of the rest have not; empty where there are none
    sources: dict[str, float]  # the most frequent ones -> their share of these pairs
    captions: tuple[str, ...]  # of the outermost ones


class HeadCard(_Record):
    """All of ``NAME.json`` beside the head ``NAME.safetensors``."""

    version: Literal[1] = 1
    kind: Kind
    sha256: str  # of the head's file
    encoder: str
    signals: tuple[str, ...]  # that a mix reads
    pool: Made
    trusted: Made | None  # None: rows of the pool
    where: str | None  # the condition on those rows
    seed: int
    counts: Counts
    chosen: float  # penalty, or of a pair how often all trusted pairs were seen
    auc: Area
    beside: dict[
        str, Area
    ]  # how well one plain measure alone tells the two apart -> on the same pairs
    within_sources: float | None  # the mean AUC inside sources that have both; None where none has
    most: Extreme
    least: Extreme
    warnings: tuple[str, ...]
