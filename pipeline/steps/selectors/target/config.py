"""The settings of `target`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tamis.pipeline.steps.selectors.config import Chooser, Keep
from tamis.pipeline.steps.shared.config import CAPTIONS
from tamis.schemas.step import Change, Reasons, Width

OFF_TARGET = "off_target"
LOT = "target/floor"
"""The purpose of the hashes by which the floor is chosen."""


class Target(Chooser):
    """Keep what is most like a target: a finished run, vectors or captions (NormSim, DataComp's image-based filter)."""

    kind = "target"
    reasons: ClassVar[Reasons] = {
        OFF_TARGET: "others are more like the target, or it is less like it than `least`",
    }
    instead = {"least": "keep"}  # noqa: RUF012 - nobody adds to it
    keep: Keep | None = Field(  # type: ignore[assignment]  # `least` can stand in its place
        None,
        examples=[0.4],
        description="a share above 0, to 1, written with a point (1.0 is all), or a count of samples; needed, unless "
        "there is `least`",
    )
    path: str = Field(
        examples=["runs/birds"],
        description="the target: a finished run, for what it kept; vectors (`.npy`, or `X.npz#MEMBER`), a row each; or "
        "captions, a `.txt` of one a line or a `.parquet`, which the job's encoder embeds. Not what you will test with",
    )
    query: str | None = Field(
        None,
        examples=["a red bird"],
        description="with a file of vectors: what they are of, in words, for messages; `tamis search --as` writes it",
    )
    measure: Literal["nearest", "moment", "concepts"] = Field(
        "nearest",
        description="nearest: cosine to the nearest target vector (NormSim-inf, with its sign); moment: root mean "
        "square of the cosines to all (NormSim-2); concepts: how many target vectors lie in the sample's concept",
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
        description="target vectors for `nearest`, at most; of more those with the smallest hashes are taken",
    )
    centroids: str | None = Field(
        None,
        examples=["runs/earlier"],
        description="the concepts of `concepts`: a finished run (or RUN#STEP), or a `.npy` of a row each",
    )
    embedding: str | None = Field(
        None,
        examples=["embed"],
        description="which embedding, where there are two; by default the only one",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.keep is None) == (self.least is None):
            raise ValueError("needs `keep` or `least`, and not both")
        if self.least is not None and (self.floor or self.of != "reaching"):
            raise ValueError("`floor` and `of` belong to `keep`: with `least` leave them out")
        if self.centroids is None and self.measure == "concepts":
            raise ValueError(
                "measure: concepts needs `centroids`: a finished run that clusters the same embedding, or a .npy"
            )
        return self

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
        if self.measure == "concepts":
            yield f"a worker holds all centroids, of {shown} x 8 B each"
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
