"""The settings of `embed`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tamis.schemas.resources import Claimed, Resources
from tamis.schemas.step import Change, Reasons, StepModel, StepName

PRECOMPUTED = "precomputed"
BAD_EMBEDDING = "bad_embedding"
MISSING_EMBEDDING = "missing_embedding"

MODULES = {"open_clip": ("torch", "open_clip"), "timm": ("torch", "timm"), "demo": ("torch",)}
"""Encoder -> modules that it imports."""

FILE_MARKS = {"open_clip": "/", "timm": "@"}
"""Encoder -> the mark before the path of weights that are a file: `open_clip:MODEL/PATH`, `timm:MODEL@PATH`."""


class Embed(StepModel):
    """Encode pictures and captions; stores both, and their cosine as the signal `clip_similarity`."""

    kind = "embed"
    reasons: ClassVar[Reasons] = {
        BAD_EMBEDDING: "the embedding is zero, or holds a number that is not finite",
        MISSING_EMBEDDING: "the embedding file has no row for the sample",
    }
    encoder: str = Field(
        examples=["demo"],
        description="`open_clip:MODEL/PRETRAINED`, `open_clip:hf-hub:OWNER/NAME` (a repository of the hub), "
        "`timm:MODEL` (pictures only), `precomputed` (comes with the input; `precomputed:NAME` where it has several), "
        "or `demo` (small, no download, for trying things out)",
    )
    as_: StepName = Field(
        "",
        alias="as",
        examples=["embed"],
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

    @property
    def makes_embedding(self) -> str:
        """The embedding's name for later steps."""
        return self.as_

    @property
    def takes_embeddings(self) -> bool:
        """True if the embeddings come with the input, and no model is loaded."""
        return self.encoder.partition(":")[0] == PRECOMPUTED

    @property
    def taken_embedding(self) -> str:
        """The name behind `precomputed:`."""
        return self.encoder.partition(":")[2] if self.takes_embeddings else ""

    def similarity(self, steps: Sequence[Any]) -> tuple[str, str]:
        """`clip_similarity` for the first step of the job that embeds, else a name of its own; and the encoder."""
        first = next(step.name for step in steps if step.makes_embedding)
        signal = "clip_similarity" if first == self.name else f"{self.as_}_similarity"
        return signal, self.encoder

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that the encoder imports."""
        return MODULES.get(self.encoder.partition(":")[0], ())

    def without_gpu(self) -> Self:
        """On processors, in a precision that they compute in."""
        precision = "fp32" if self.precision == "fp16" else self.precision
        return self.model_copy(update={"device": "cpu", "precision": precision})

    def claim(self, machine: Resources) -> Claimed:
        """The claim of an embedding worker: with ``device: cuda`` a GPU, or the share of one that the job says."""
        return Claimed(
            cpus=0 if machine.decode_tasks else 1,
            gpus=machine.gpus or (1.0 if self.device == "cuda" else 0.0),
            pool=True,
            decoding_tasks=machine.decode_tasks,
        )

    def with_paths(self, change: Change) -> Self:
        """The settings with the path of weights changed, where they are a file and no published name."""
        mark = FILE_MARKS.get(self.encoder.partition(":")[0])
        if mark is None:
            return self
        model, separator, path = self.encoder.partition(mark)
        if model.startswith("open_clip:hf-hub:"):  # a name of the hub, and no path
            return self
        if "/" not in path and "." not in path:  # a tag of published weights is one bare word
            return self
        encoder = f"{model}{separator}{change(path, or_name=True)}"
        return self.model_copy(update={"encoder": encoder})
