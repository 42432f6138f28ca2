"""Settings of several duplicate steps: which of two duplicates is preferred."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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
        """What decides, as an argument of a task: uid, larger, or ``signal:`` and its name."""
        if isinstance(self.prefer, BySignal):
            return f"signal:{self.prefer.signal}"
        return self.prefer
