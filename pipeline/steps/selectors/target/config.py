"""The settings of `target`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tamis.pipeline.steps.selectors.config import Chooser, Keep
from tamis.pipeline.steps.shared.config import CAPTIONS, EarlyHeads
from tamis.schemas.step import Change, Reasons, Width

OFF_TARGET = "off_target"
NEAREST = "nearest of the target: "
"""What the ledger's message begins with, before the name of the nearest target sample."""
LOT = "target/floor"
"""The purpose of the hashes by which the floor is chosen."""
ONLY_OF = {
    "dimensions": "frechet",
    "references": "influence",
    "runs": "influence",
    "steps": "influence",
    "trained": "influence",
}
"""Settings -> the one measure that they belong to."""


class Target(Chooser, EarlyHeads):
    """Keep what is most like a target: a run, vectors or captions (NormSim, DataComp's image-based filter, SnP)."""

    kind = "target"
    reasons: ClassVar[Reasons] = {
        OFF_TARGET: "others are more like the target, or it is less like it than `least`",
    }
    instead = {"least": "keep"}  # noqa: RUF012 - nobody adds to it
    keep: Keep | None = Field(  # type: ignore[assignment]  # `least` can stand in its place
        None,
        examples=[0.4],
        description="a share above 0, to 1, written with a point (1.0 is all), or a count of samples; needed, unless "
        "there is `least`; without it `frechet` keeps what its search finds",
    )
    path: str = Field(
        examples=["runs/birds"],
        description="the target: a finished run, for what it kept; vectors (`.npy`, or `X.npz#MEMBER`), a row each; or "
        "captions, a `.txt` of one a line or a table (parquet, CSV, JSON), which the job's encoder embeds. Not what "
        "you will test with",
    )
    query: str | None = Field(
        None,
        examples=["a red bird"],
        description="with a file of vectors: what they are of, in words, for messages; `tamis search --as` writes it",
    )
    measure: Literal["nearest", "moment", "concepts", "frechet", "influence"] = Field(
        "nearest",
        description="nearest: cosine to the nearest target vector (NormSim-inf, with its sign); moment: root mean "
        "square of the cosines to all (NormSim-2); concepts: how many target vectors lie in the sample's concept; "
        "frechet: rank of the concept in a search for those that together are distributed like the target (SnP); "
        "influence: how much training on the pair makes the target's pairs easier, by gradients of early heads (LESS)",
    )
    side: Literal["auto", "image", "text"] = Field(
        "auto",
        description="what is compared, of the samples and of a run: image or text; auto: text for captions, else image",
    )
    least: float | None = Field(
        None,
        examples=[0.25],
        description="instead of `keep`: all whose value is at least this; with concepts, 1 is DataComp's image filter",
    )
    floor: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the budget that is chosen at random first, against too narrow a target",
    )
    most: int = Field(
        20_000,
        ge=1,
        description="target vectors for `nearest`, or pairs for `influence`, at most; of more those with the smallest "
        "hashes are taken",
    )
    centroids: str | None = Field(
        None,
        examples=["runs/earlier"],
        description="the concepts of `concepts` and `frechet`: a finished run (or RUN#STEP), or a `.npy` of a row each",
    )
    dimensions: int = Field(
        64,
        ge=1,
        le=512,
        description="of `frechet`: the target's principal directions in which concepts are compared with it",
    )
    references: int = Field(
        4096,
        ge=2,
        le=1_000_000,
        description="of `influence`: pairs among which each is to be told apart, those of the smallest hashes",
    )
    embedding: str | None = Field(
        None,
        examples=["embed"],
        description="which embedding, where there are two; by default the only one",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        searched = self.measure == "frechet"
        if searched and self.least is not None:
            raise ValueError(
                "measure: frechet finds by itself where to stop: leave `least` out, or say `keep`"
            )
        if not searched and (self.keep is None) == (self.least is None):
            raise ValueError("needs `keep` or `least`, and not both")
        if self.keep is None and (self.floor or self.of != "reaching"):
            raise ValueError("`floor` and `of` belong to `keep`: without it leave them out")
        if self.centroids is None and self.by_concepts:
            raise ValueError(
                f"measure: {self.measure} needs `centroids`: a finished run that clusters the same embedding, or a .npy"
            )
        if self.measure == "influence" and self.side != "auto":
            raise ValueError("measure: influence compares pairs: leave `side` out")
        idle = [
            name
            for name, measure in ONLY_OF.items()
            if self.measure != measure
            and getattr(self, name) != type(self).model_fields[name].default
        ]
        if idle:
            raise ValueError(
                f"{', '.join(idle)}: of another measure than {self.measure}: leave out"
            )
        return self

    def idle(self) -> Mapping[str, str]:
        """What bounds target vectors that are not compared, concepts that are not looked at, and words of captions."""
        return {
            **(
                {}
                if self.measure in ("nearest", "influence")
                else {"most": "nearest and influence"}
            ),
            **({} if self.by_concepts else {"centroids": "concepts and frechet"}),
            **({"query": "a file of vectors"} if self.of_captions else {}),
        }

    def meaning(self, reason: str) -> str | None:
        """The reason in the words of the measure."""
        if reason != OFF_TARGET:
            return super().meaning(reason)
        return {
            "frechet": "its concept comes after those that together are most like the target"
            if self.keep is None
            else "concepts before its own, or others in it, have filled the budget",
            "influence": "training on others helps the target's pairs more, or on it less than `least`",
        }.get(self.measure, self.reasons[reason])

    @property
    def aims(self) -> tuple[str, ...]:
        """The target."""
        return (self.path,)

    @property
    def by_concepts(self) -> bool:
        """True if the measure is that of a concept."""
        return self.measure in ("concepts", "frechet")

    @property
    def scores(self) -> bool:
        """True if only samples that reach the step have a value."""
        return self.measure == "influence"

    @property
    def modules(self) -> tuple[str, ...]:
        """torch, which trains heads."""
        return ("torch",) if self.measure == "influence" else ()

    @property
    def of_captions(self) -> bool:
        """True if the target is a file of captions."""
        return self.path.lower().endswith(CAPTIONS)

    @property
    def compared(self) -> Literal["image", "text"]:
        """The column of the embedding that is compared."""
        if self.side == "auto":
            return "text" if self.of_captions else "image"
        return self.side

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """The memory that a worker needs for the target."""
        yield from super().notes(samples, width)
        dim = width(self.embedding)
        shown = "d" if dim is None else f"{dim:,}"
        if self.by_concepts:
            yield f"a worker holds all centroids, of {shown} x 8 B each"
            if self.measure == "frechet":
                moments = self.dimensions**2 * 8
                yield f"and the moments of each concept, {self.dimensions} x {self.dimensions} x 8 B: {moments:,} B"
            return
        if self.measure == "influence":
            held = self.runs * self.references * 64 * 32 / 1e6
            yield (
                f"a worker holds {self.runs} x {self.references:,} references x 64 numbers x 32 B: {held:,.0f} MB"
            )
            return
        moment = self.measure == "moment"
        what = f"a matrix of {shown}" if moment else f"at most {self.most:,} target vectors"
        needed = (
            "" if dim is None else f": {(dim if moment else self.most) * dim * 8 / 1e6:,.0f} MB"
        )
        yield f"a worker holds {what} x {shown} x 8 B{needed}"

    def with_paths(self, change: Change) -> Self:
        """The paths of the target and of the centroids changed."""
        changed = {"path": _changed(self.path, change)}
        if self.centroids is not None:
            changed["centroids"] = _changed(self.centroids, change)
        return self.model_copy(update=changed)


def _changed(path: str, change: Change) -> str:
    file, mark, member = path.partition("#")
    return f"{change(file)}{mark}{member}"
