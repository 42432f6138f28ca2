"""The settings of `quotas`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field

from tamis.pipeline.steps.selectors.config import Chooser, Keep
from tamis.pipeline.steps.shared.config import MISSING, NO_VALUE
from tamis.schemas.model import Model
from tamis.schemas.step import BY_RULE, Change, Reasons, Share, Width

GROUP_FULL = "group_full"
LOW_MEAN = "low_mean"

CLUSTER = "cluster"
"""The name in `by` of the concepts of an earlier step."""


class WeightsFile(Model):
    """Weights of the groups, from a table."""

    file: str = Field(
        examples=["weights.csv"],
        description="CSV with a header, or parquet: a column for each of `by`, and one called `weight`",
    )


class MeanOf(Model):
    """Weights that are means of a signal."""

    mean: str = Field(
        examples=["aesthetic"], description="the signal whose mean in a group is the group's weight"
    )
    least: float | None = Field(
        None,
        allow_inf_nan=False,
        examples=[0.2],
        description="the least mean of a group that is kept at all; by default any from 0 on",
    )


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Quotas(Chooser):
    """Share a budget out over groups: by language, category, cluster, or several of them one below the other."""

    kind = "quotas"
    reasons: ClassVar[Reasons] = {
        GROUP_FULL: "its group's quota was filled by others",
        LOW_MEAN: "its group's mean of the signal is below the least that is kept",
        **MISSING,
    }
    phrases: ClassVar[Mapping[str, str]] = {NO_VALUE: BY_RULE, LOW_MEAN: BY_RULE}
    keep: Keep | None = Field(  # type: ignore[assignment]  # it may be left out here alone
        None,
        examples=[0.4],
        description="a share above 0, to 1, written with a point (1.0 is all), or a count of samples; by default as "
        "many as `cap` and `most` allow",
    )
    by: Annotated[
        tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | tuple[str, ...])
    ] = Field(
        min_length=1,
        examples=[["language"]],
        description="signals of text, true/false or whole numbers, each a level below the one before; or cluster, the "
        "concepts of the last step before this one that makes any, `index` aside",
    )
    weights: Literal["equal", "size"] | WeightsFile | MeanOf = Field(
        "equal",
        description="what a group's share is in proportion to: equal, size, {file: weights.csv}, or {mean: SIGNAL}, "
        "which may say the `least` mean of a group that is kept",
    )
    power: float = Field(
        1.0, gt=0, le=10, description="weights are raised to it: 0.5 with `size` is its square root"
    )
    cap: Share = Field(1.0, description="the most that is kept of a group, as a share of it")
    most: int | None = Field(
        None, ge=1, examples=[10_000], description="the most that is kept of a group, in samples"
    )
    score: str | None = Field(
        None,
        examples=["clip_similarity"],
        description="the signal by which a group keeps its samples; by default a hash decides, as a lot would",
    )
    best: Literal["highest", "lowest"] = Field(
        "highest", description="which values of `score` are kept first"
    )

    @property
    def signals(self) -> list[str]:
        """The signals that the step reads, each once."""
        named = [*self.by, *filter(None, (self.score, self.mean))]
        return [name for name in dict.fromkeys(named) if name != CLUSTER]

    @property
    def chosen_in(self) -> str | None:
        """The signal that the step makes where it chooses in concepts: each sample's; None where it does not."""
        return f"{self.name}_cluster" if CLUSTER in self.by else None

    @property
    def mean(self) -> str | None:
        """The signal whose mean weighs groups; None where none does."""
        return self.weights.mean if isinstance(self.weights, MeanOf) else None

    @property
    def least(self) -> float | None:
        """The least mean of a group that is kept; None where means leave none out."""
        return self.weights.least if isinstance(self.weights, MeanOf) else None

    @property
    def weights_path(self) -> str | None:
        """The file of weights; None where none is read."""
        return self.weights.file if isinstance(self.weights, WeightsFile) else None

    def idle(self) -> Mapping[str, str]:
        """The order of values without a score, the power of equal weights, and what no share is of."""
        return {
            **({} if self.score else {"best": "`score`"}),
            **({"power": "`weights` that differ"} if self.weights == "equal" else {}),
            **({} if self.keep else {"of": "`keep`"}),
        }

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """The memory that a worker needs for the groups."""
        from tamis.pipeline.steps.selectors.quotas.groups import GROUP_BYTES, MOST_GROUPS

        yield from super().notes(samples, width)
        yield (
            f"a worker holds at most {MOST_GROUPS:,} groups x {GROUP_BYTES} B and their names: "
            f"{MOST_GROUPS * GROUP_BYTES / 1e6:,.0f} MB, whatever the number of samples"
        )

    def scaled(self, share: float) -> Self:
        """The settings for a share of the samples: all counts in proportion."""
        scaled = super().scaled(share)
        if self.most is None:
            return scaled
        return scaled.model_copy(update={"most": max(1, round(self.most * share))})

    def with_paths(self, change: Change) -> Self:
        """The path of the weights changed."""
        if not isinstance(self.weights, WeightsFile):
            return self
        weights = WeightsFile(file=change(self.weights.file))
        return self.model_copy(update={"weights": weights})
