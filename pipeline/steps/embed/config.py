"""The settings of `embed`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, WithJsonSchema, model_validator

from tamis.pipeline.steps.signals.config import Code
from tamis.schemas.resources import Claimed, Resources
from tamis.schemas.step import Change, Reasons, StepModel, StepName

if TYPE_CHECKING:
    from tamis.pipeline.encoders.own import Own

PRECOMPUTED = "precomputed"
OWN = "own"
BAD_EMBEDDING = "bad_embedding"
MISSING_EMBEDDING = "missing_embedding"
GPU_BATCH = 256
"""Samples of a batch on a GPU, where the job does not say."""

MODULES = {
    "open_clip": ("torch", "open_clip"),
    "timm": ("torch", "timm"),
    "transformers": ("torch", "transformers"),
    "demo": ("torch", "ftfy"),
}
"""Encoder -> modules that it imports."""

FILE_MARKS = {"open_clip": "/", "timm": "@", "transformers": ":"}
"""Encoder -> the mark before the path of weights: `open_clip:MODEL/PATH`, `timm:MODEL@PATH`, `transformers:FOLDER`."""


_ENCODER = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {
                "file": {"type": "string"},
                "package": {"type": "string"},
                "name": {"type": "string"},
                "with": {"type": "array", "items": {"type": "string"}},
                "weights": {"type": "string"},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
    ]
}


class OwnCode(Code, defer_build=True):
    """A class of one's own that makes vectors; what it says of itself is filled in when the job is read."""

    group: ClassVar[str] = "tamis.encoders"

    name: str = Field(description="of the class")
    weights: str | None = Field(None, description="path of a file that the class is given")
    dim: int | None = Field(None, ge=1, description="numbers of a vector, by the class")
    size: tuple[int, int] | None = Field(
        None, description="height and width in pixels of the pictures that it gets, by the class"
    )
    resize: Literal["shortest", "longest", "squash"] = Field(
        "shortest", description="how they are resized, by the class"
    )
    has_text: bool = Field(False, description="whether the class makes vectors of captions")
    takes: tuple[str, ...] = Field((), description="the parameters of the class")

    def settled(self) -> OwnCode:
        """The same with all that is filled in; the files are not needed any more.

        Raises:
            PlugInError, OSError: a file cannot be read or imported, or the class says too little.
        """
        if self.dim is not None and self.size is not None and (self.packed or self.entry):
            return self
        from tamis.pipeline.encoders.own import facts_of

        found, known = self.imported(self.name)
        facts = facts_of(found, f"{known.get('file', self.package)}: {self.name}")
        said = {
            "dim": facts.dim,
            "size": facts.size,
            "resize": facts.resize,
            "has_text": facts.has_text,
            "takes": facts.takes,
        }
        return self.model_copy(update=known | said)

    @property
    def shown(self) -> str:
        """One word for it, with the beginning of the hash, or the version, of its code."""
        if self.packed is not None:
            return f"{OWN}:{self.name}@{self.file}#{self.code['plugin'][:16]}"
        return f"{OWN}:{self.name}@{self.package}#{self.version}"

    @property
    def spec(self) -> Own:
        """What encoders are told of it."""
        from tamis.pipeline.encoders.own import Facts, Own

        assert self.dim is not None, "a job that has been read has what the class says"
        assert self.size is not None, "the same"
        facts = Facts(self.dim, self.size, self.resize, self.has_text, self.takes)
        source = self.file or self.package or ""
        return Own(self.name, source, json.dumps(self.code), facts, self.weights)


class Embed(StepModel):
    """Encode pictures and captions; stores both, and their cosine as the signal `clip_similarity`."""

    kind = "embed"
    reasons: ClassVar[Reasons] = {
        BAD_EMBEDDING: "the embedding is zero, or holds a number that is not finite",
        MISSING_EMBEDDING: "the embedding file has no row for the sample",
    }
    instead: ClassVar[Mapping[str, str]] = {"own": "encoder"}
    encoder: Annotated[str, WithJsonSchema(_ENCODER)] = Field(
        examples=["demo"],
        description="`open_clip:MODEL/PRETRAINED`, `open_clip:hf-hub:OWNER/NAME` (a repository of the hub), "
        "`timm:MODEL` (pictures only), `transformers:OWNER/NAME`, `precomputed` (comes with the input; "
        "`precomputed:NAME` where it has several), `demo` (small, no download, for trying things out), or a class of "
        "your own: `{file: my.py, name: Mine}`",
    )
    own: OwnCode | None = Field(
        None,
        examples=[{"file": "my.py", "name": "Mine"}],
        description="in the place of `encoder`: a class of your own, in full",
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
        description="samples a batch, with `device: cuda` 256 by default: part of the result's identity. On a CPU "
        "pieces of 4 or 8 are cut from it and filled up: take a multiple of 8",
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
    def _class_of_its_own(cls, values: Any) -> Any:
        """A map in the place of the encoder's name is ``own``."""
        if not isinstance(values, dict):
            return values
        if isinstance(values.get("encoder"), dict):
            return {**values, "encoder": OWN, "own": values["encoder"]}
        return {"encoder": OWN, **values} if values.get("own") is not None else values

    @model_validator(mode="before")
    @classmethod
    def _fills_a_gpu(cls, values: Any) -> Any:
        """A GPU is given more at once than processors, on which the size hardly matters."""
        if not isinstance(values, dict) or values.get("device") != "cuda":
            return values
        if str(values.get("encoder", "")).partition(":")[0] == PRECOMPUTED:
            return values
        return {"batch_size": GPU_BATCH, **values}

    @model_validator(mode="after")
    def _has_its_code(self) -> Self:
        if (self.encoder.partition(":")[0] == OWN) != (self.own is not None):
            raise ValueError("a class of your own is written {file: my.py, name: Mine}")
        return self

    def settled(self, steps: Sequence[Any]) -> Self:
        """The settings with the sources of a class, and what it says of itself."""
        del steps
        if self.own is None:
            return self
        own = self.own.settled()
        return self.model_copy(update={"own": own, "encoder": own.shown})

    def shown(self) -> dict[str, Any]:
        """The settings without sources."""
        shown = super().shown()
        shown.get("own", {}).pop("packed", None)
        return shown

    @property
    def spec(self) -> str | Own:
        """The encoder, for `encoders.describe`."""
        return self.own.spec if self.own is not None else self.encoder

    @model_validator(mode="before")
    @classmethod
    def _called_by_its_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and "as" not in values and "as_" not in values:
            return {**values, "as": values.get("name") or cls.kind}
        return values

    def idle(self) -> Mapping[str, str]:
        """What a model needs, where vectors come with the input."""
        if not self.takes_embeddings:
            return {}
        return dict.fromkeys(
            ("batch_size", "precision", "device", "decoder"), "an encoder with a model"
        )

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
        if self.own is not None:
            if self.own.weights is None:
                return self
            weights = change(self.own.weights)
            return self.model_copy(update={"own": self.own.model_copy(update={"weights": weights})})
        mark = FILE_MARKS.get(self.encoder.partition(":")[0])
        if mark is None:
            return self
        model, separator, path = self.encoder.partition(mark)
        if model.startswith("open_clip:hf-hub:"):  # a name of the hub, and no path
            return self
        # A tag of published weights is one bare word; transformers has none.
        if mark != FILE_MARKS["transformers"] and "/" not in path and "." not in path:
            return self
        encoder = f"{model}{separator}{change(path, or_name=True)}"
        return self.model_copy(update={"encoder": encoder})
