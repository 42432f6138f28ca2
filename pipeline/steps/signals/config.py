"""The settings of `signals`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field

from tamis.schemas.step import Change, StepModel


class Signals(StepModel):
    """Compute columns about each sample; drops nothing.

    In short, without other settings: `signals: [words, min_side]`.
    """

    kind = "signals"
    listed = "names"
    names: tuple[str, ...] = Field(
        min_length=1,
        examples=[["words", "characters", "min_side", "aspect_ratio"]],
        description="built-in signals, or columns of the input",
    )
    heads: dict[str, str] = Field(
        {},
        description="signal -> path of a linear head over a stored embedding, which an `embed` step before this one "
        "makes; none by default",
    )
    lists: dict[str, str] = Field(
        {},
        description="signal -> path of a list of words, one entry a line, whose entries are counted in the caption; "
        "none by default",
    )
    embedding: str | None = Field(
        None,
        examples=["embed"],
        description="which embedding the heads read, where there are two; by default the only one",
    )

    @classmethod
    def purpose(cls) -> str:
        """The docstring, and the names of all built-in signals."""
        from tamis.pipeline.signals.registry import SIGNALS

        return f"{super().purpose()} Built in: {', '.join(SIGNALS)}."

    @property
    def computes(self) -> tuple[str, ...]:
        """The names of all signals."""
        return self.names

    @property
    def linear_heads(self) -> Mapping[str, str]:
        """Signal -> path of its head."""
        return self.heads

    @property
    def word_lists(self) -> Mapping[str, str]:
        """Signal -> path of its list."""
        return self.lists

    def with_paths(self, change: Change) -> Self:
        """The settings with the paths of heads and lists changed."""
        changed = {
            "heads": {name: change(path) for name, path in self.heads.items()},
            "lists": {name: change(path) for name, path in self.lists.items()},
        }
        return self.model_copy(update={key: paths for key, paths in changed.items() if paths})
