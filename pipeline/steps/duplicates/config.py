"""Settings of several duplicate steps: who of two duplicates is preferred, and what bounds their likeness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import Field

from tamis.schemas.job import Job
from tamis.schemas.model import Model
from tamis.schemas.step import StepModel


class BySignal(Model):
    """A signal whose larger value is better; a sample without a value comes last."""

    signal: str = Field(examples=["clip_similarity"], description="the signal's name")


class Preferring(StepModel):
    """A step that keeps the preferred one of duplicates."""

    prefer: Literal["uid", "larger"] | BySignal = Field(
        "uid",
        description="who is kept: uid, the smallest; larger, the most pixels first; or {signal: NAME}, the largest "
        "value first",
    )

    @property
    def preferred_signal(self) -> str | None:
        """The signal that decides; None where none does."""
        return self.prefer.signal if isinstance(self.prefer, BySignal) else None

    @property
    def preference(self) -> str:
        """The preference as an argument of a task: uid, larger, or ``signal:`` and its name."""
        if isinstance(self.prefer, BySignal):
            return f"signal:{self.prefer.signal}"
        return self.prefer


class Cut(NamedTuple):
    """A setting that bounds a column of the edges."""

    setting: str
    column: str
    larger: bool  # whether larger values are more alike


EDGES = 8_000_000
"""Edges that are decided in the memory of one process; about 250 bytes each."""

DETAIL = Cut("detail", "detail", larger=False)
"""Of the steps that open the pictures of the pairs that they find."""


class ByEdges(Preferring):
    """A step that stores each pair it found alike, an edge, and decides by them."""

    compares_samples = True
    group: Literal["leader", "chain"] = Field(
        "leader",
        description="leader: a sample falls only for a kept one that it is alike to itself; chain: one of each "
        "connected component is kept",
    )

    def cuts(self, job: Job) -> Sequence[Cut]:
        """The settings that bound its edges, in the order in which they are proposed to save a sample."""
        del job
        return ()
