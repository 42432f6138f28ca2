"""The steps that a job file can ask for, one model a kind.

In YAML a step is a map of one key, its kind: ``- near_duplicates: {jaccard: 0.8}``. Its ``name`` is its
kind unless given.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tamis.schemas.nearest import nearest
from tamis.schemas.selection import (
    Chooser,
    Clustered,
    Coverage,
    Density,
    Importance,
    Prototypes,
    Random,
    Score,
)
from tamis.schemas.step import Share, StepModel, StepName

__all__ = [
    "KINDS",
    "Bound",
    "Chooser",
    "Clustered",
    "Coverage",
    "Density",
    "Embed",
    "ExactDuplicates",
    "Importance",
    "NearDuplicates",
    "NearPictures",
    "Prototypes",
    "Random",
    "Rules",
    "Score",
    "SemanticDuplicates",
    "Signals",
    "Step",
    "StepModel",
    "Write",
]


class Bound(BaseModel):
    """When a signal's value passes. Bounds are inclusive; NaN and null count as missing."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        allow_inf_nan=False,
        defer_build=True,
    )
    min: float | None = Field(None, description="the value must be at least this")
    max: float | None = Field(None, description="the value must be at most this")
    one_of: tuple[str | bool | float, ...] | None = Field(
        None, alias="in", description="the value must be one of these"
    )
    missing: Literal["drop", "keep"] = Field(
        "drop", description="what happens to a sample without a value"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Bound:
        if self.min is None and self.max is None and self.one_of is None:
            raise ValueError("a rule needs `min`, `max` or `in`")
        if self.one_of is not None and (self.min is not None or self.max is not None):
            raise ValueError("`in` cannot stand beside `min` or `max`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing could pass")
        return self


class Signals(StepModel):
    """Compute columns about each sample; drops nothing."""

    kind = "signals"
    names: tuple[str, ...] = Field(
        min_length=1, description="built-in signals, or columns of the input"
    )
    heads: dict[str, str] = Field(
        {}, description="signal name -> path of a linear head over the stored embedding"
    )
    embedding: str | None = Field(
        None, description="which embedding the heads read, where there are two"
    )


class Rules(StepModel):
    """Drop what fails a bound. All failing rules are recorded; the first of them, in this order, is the reason."""

    kind = "rules"
    bounds: dict[str, Bound] = Field(min_length=1, description="signal name -> bound")


class ExactDuplicates(StepModel):
    """Drop samples that equal another one."""

    kind = "exact_duplicates"
    on: Literal["image", "pixels", "pair", "url_text"] = Field(
        "image",
        description="image: the same bytes; pixels: the same decoded pixels; "
        "pair: bytes and caption; url_text: URL and caption",
    )
    prefer: Literal["uid", "larger"] = Field(
        "uid", description="who survives: the smallest uid, or the most pixels first"
    )


class NearDuplicates(StepModel):
    """Drop samples whose captions are nearly the same (MinHash-LSH, verified), and whose pictures agree."""

    kind = "near_duplicates"
    jaccard: Share = Field(0.8, description="captions at least this alike are near-duplicates")
    agree: Literal["none", "phash", "embedding"] | None = Field(
        None,
        description="what else must agree; by default `phash`, and `embedding` where there are no pictures",
    )
    hamming: int = Field(
        8, ge=0, le=32, description="bits in which perceptual hashes may differ (agree: phash)"
    )
    cosine: Share = Field(0.9, description="the least cosine of the embeddings (agree: embedding)")
    embedding: str | None = None
    ngram: int = Field(3, ge=1, le=24, description="characters (or words) a shingle")
    unit: Literal["char", "word"] = Field("char", description="what a shingle is made of")
    permutations: int = Field(108, ge=16, le=1024, description="hashes a signature")
    recall: float = Field(
        0.99,
        gt=0,
        lt=1,
        description="share of the pairs at the threshold that the bands find; chooses bands and rows",
    )
    kernel: Literal["fast", "datasketch"] = Field("fast", description="who computes the signatures")
    prefer: Literal["uid", "larger"] = "uid"


class NearPictures(StepModel):
    """Drop samples whose pictures have nearly the same perceptual hash. Needs no model."""

    kind = "near_pictures"
    hamming: int = Field(
        4, ge=0, le=16, description="bits in which two 64-bit perceptual hashes may differ"
    )
    prefer: Literal["uid", "larger"] = "uid"


class Embed(StepModel):
    """Encode pictures and captions; stores both, and their cosine as the signal ``clip_similarity``."""

    kind = "embed"
    encoder: str = Field(
        description="`open_clip:MODEL/PRETRAINED`, `timm:MODEL`, `precomputed`, or `demo`"
    )
    as_: StepName = Field(
        "",
        alias="as",
        description="what later steps call this embedding; the step's name by default",
    )
    batch_size: int = Field(
        32,
        ge=1,
        le=8192,
        description="samples a batch: part of the result's identity. On a CPU pieces of 4 or 8 are cut from it and "
        "filled up: take a multiple of 8",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="of the towers: part of the result's identity"
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="the class of device: part of the result's identity"
    )
    decoder: Literal["full", "shrink"] = Field(
        "full",
        description="full: as the model's own preprocessing; shrink: JPEGs twice as large as is needed, or more, are "
        "decoded at a half, a quarter or an eighth; part of the result's identity",
    )

    @model_validator(mode="before")
    @classmethod
    def _called_by_its_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and "as" not in values and "as_" not in values:
            return {**values, "as": values.get("name") or cls.kind}
        return values


class SemanticDuplicates(Clustered):
    """SemDeDup: inside a cluster, drop what is within epsilon of a sample earlier in order."""

    kind = "semantic_duplicates"
    epsilon: Share = Field(
        0.07, description="dropped where the cosine to an earlier sample is above 1 - epsilon"
    )
    which_to_keep: Literal["hard", "easy", "random"] = Field(
        "hard",
        description="the order: farthest from the centroid first, nearest first, or shuffled",
    )


class Write(StepModel):
    """Write the chosen samples: webdataset shards with their original bytes, or a parquet subset, and `subset.npy`."""

    kind = "write"
    samples_per_shard: int = Field(10_000, ge=1, le=1_000_000)
    format: Literal["auto", "webdataset", "parquet"] = Field(
        "auto", description="auto: webdataset where the input has pictures, else parquet"
    )


def _untangle(value: Any) -> Any:
    """``{kind: settings}`` -> the settings with their kind, for pydantic to choose the model by."""
    if isinstance(value, StepModel):
        return value
    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError("a step is a map of one key, its kind: `- density: {keep: 0.4}`")
    ((kind, settings),) = value.items()
    model = KINDS.get(kind)
    if model is None:
        raise ValueError(f"no such step `{kind}`{nearest(kind, list(KINDS))}")
    return model.model_validate(_shorthand(kind, {} if settings is None else settings))


def _shorthand(kind: str, settings: Any) -> Any:
    if kind == "signals" and isinstance(settings, list):
        return {"names": settings}
    if kind == "rules" and isinstance(settings, dict) and "bounds" not in settings:
        name = {"name": settings["name"]} if "name" in settings else {}
        return {**name, "bounds": {key: bound for key, bound in settings.items() if key != "name"}}
    return settings


KINDS: dict[str, type[StepModel]] = {
    model.kind: model
    for model in (
        Signals,
        Rules,
        ExactDuplicates,
        NearDuplicates,
        NearPictures,
        Embed,
        SemanticDuplicates,
        Density,
        Prototypes,
        Coverage,
        Random,
        Score,
        Importance,
        Write,
    )
}

Step = Annotated[Any, BeforeValidator(_untangle)]
