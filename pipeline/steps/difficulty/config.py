"""The settings of `difficulty`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tamis.pipeline.steps.shared.config import EarlyHeads
from tamis.schemas.step import Change, StepModel, Width

HEADS = ("loss", "learnability")
"""Measures that train heads."""
OF_HEADS = ("runs", "steps", "trained", "trusted", "trusted_steps")
"""Settings of the heads."""

Count = Annotated[int, Field(ge=2, le=1_000_000)]
Run = Annotated[str, Field(min_length=1)]


class Difficulty(StepModel, EarlyHeads):
    """Difficulty of a pair among reference pairs, as a signal under the step's name; drops nothing."""

    kind = "difficulty"
    compares_samples: ClassVar[bool] = True
    instead = {"trusted": "measure"}  # noqa: RUF012 - nobody adds to it; the default measure has none
    measure: Literal["cliploss", "el2n", "loss", "learnability"] = Field(
        "cliploss",
        description="cliploss (Wang et al. 2024): the pair's cosine less what its picture and its caption have with "
        "others, high for pairs that fit; el2n (Paul et al. 2021): how wrong a guess of the partner is, high for hard "
        "ones; loss: CLIP's loss under heads that have just begun to learn, high for hard ones; learnability (after "
        "Evans et al. 2024): that loss less the loss under heads of a `trusted` run, high for what can be learned yet",
    )
    temperature: float = Field(
        0.01,
        gt=0,
        description="cosines are divided by this: the encoder's own, 0.01 of OpenAI's CLIP; heads learn theirs",
    )
    references: Count | Run = Field(
        4096,
        examples=[4096],
        description="pairs that each is compared with: so many of those that reach the step, the smallest hashes; or a "
        "finished run (RUN, or RUN#STEP) whose references, and heads, are taken",
    )
    trusted: str | None = Field(
        None,
        examples=["runs/clean"],
        description="of learnability: a finished run, embedded by the same encoder, what it kept being good pairs",
    )
    trusted_steps: int = Field(
        200, ge=1, le=100_000, description="steps for which heads of the trusted run are trained"
    )
    embedding: str | None = Field(
        None,
        examples=["embed"],
        description="which embedding, where there are two; by default the only one",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        borrowed = isinstance(self.references, str)
        if (self.measure == "learnability" and not borrowed) != (self.trusted is not None):
            raise ValueError(
                "`trusted: RUN` belongs to `measure: learnability`, which needs it, unless `references` is a run that "
                "has its heads"
            )
        if self.trains and self.temperature != _default("temperature"):
            raise ValueError(
                f"measure: {self.measure}: heads learn their temperature: leave it out"
            )
        if self.trains and not borrowed:
            return self
        idle = [name for name in OF_HEADS if getattr(self, name) != _default(name)]
        if idle:
            why = (
                "`references` is a run, whose heads are taken"
                if borrowed
                else "no heads are trained"
            )
            raise ValueError(
                f"{', '.join(idle)}: {why}: leave {'it' if len(idle) == 1 else 'them'} out"
            )
        return self

    @property
    def trains(self) -> bool:
        """True if the measure is that of heads."""
        return self.measure in HEADS

    @property
    def aims(self) -> tuple[str, ...]:
        """The trusted run."""
        return () if self.trusted is None else (self.trusted,)

    @property
    def modules(self) -> tuple[str, ...]:
        """torch, which trains heads."""
        return ("torch",) if self.trains else ()

    @property
    def scores(self) -> bool:
        """True: only what reaches the step has a value."""
        return True

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """The memory that a worker needs for the references."""
        yield from super().notes(samples, width)
        if isinstance(self.references, str):
            return
        dim = width(self.embedding)
        if self.trains:
            heads = self.runs * (1 + (self.trusted is not None))
            yield (
                f"a worker holds {heads} x {self.references:,} references x 64 numbers x 16 B: "
                f"{heads * self.references * 64 * 16 / 1e6:,.0f} MB"
            )
            return
        needed = (
            "d x 16 B"
            if dim is None
            else f"{dim:,} x 16 B: {self.references * dim * 16 / 1e6:,.0f} MB"
        )
        yield f"a worker holds {self.references:,} references x {needed}"

    def with_paths(self, change: Change) -> Self:
        """The paths of other runs changed."""
        changed: dict[str, str] = {}
        for name in ("references", "trusted"):
            path = getattr(self, name)
            if isinstance(path, str):
                run, mark, step = path.partition("#")
                changed[name] = f"{change(run)}{mark}{step}"
        return self.model_copy(update=changed)


def _default(name: str) -> object:
    return Difficulty.model_fields[name].default
