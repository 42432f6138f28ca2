"""The job file: what goes in, what happens to it, where the result lies.

Every field says its unit, its range and its default. Unknown keys are errors that name the nearest known key
(``schemas.parse`` makes the one-line messages).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from tamis.schemas.formats import check_word
from tamis.schemas.steps import Embed, NearDuplicates, Step, Write

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)]


class Model(BaseModel):
    """Frozen, and no key that it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False
    )


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _filled(value: object) -> object:
    """In YAML a key below which all is commented out has no value."""
    return {} if value is None else value


class Input(Model):
    """One entry of ``input``: files of one format under one fixed prefix."""

    path: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        min_length=1, description="fsspec URLs with globs (`*`) and brace ranges (`{00000..00007}`)"
    )
    name: Name = Field(
        "input",
        description="stands before the relative path in the ledger's `source`; part of every uid",
    )
    format: Annotated[str, AfterValidator(check_word)] = Field(
        "auto",
        description="webdataset or parquet; auto: by the ending, .tar is webdataset, .parquet is parquet",
    )
    image_embeddings: str | None = Field(
        None,
        description="`.npy` files, row-aligned with the parquet files, in the same sorted order (clip-retrieval)",
    )
    text_embeddings: str | None = Field(None, description="the same for captions")
    features: bool = Field(
        False, description="DataComp: beside each `X.parquet` lies `X.npz`, row-aligned"
    )
    image_feature: str = Field(
        "l14_img", description="the member of the `.npz` that holds image embeddings"
    )
    text_feature: str = Field(
        "l14_txt", description="the member of the `.npz` that holds caption embeddings"
    )

    @property
    def precomputed(self) -> bool:
        """Whether embeddings come with this entry."""
        return self.features or self.image_embeddings is not None


class Limits(Model):
    """What ingest refuses to read."""

    max_pixels: int = Field(
        178_956_970, ge=1, description="pixels a picture; more is a bomb, refused from its header"
    )
    max_member_bytes: int = Field(
        256 << 20, ge=1, description="bytes a tar member or a parquet cell"
    )


class Claim(Model):
    """What each task of one step claims; what is left out, the step decides."""

    cpus: float | None = Field(None, gt=0, description="processors a task")
    gpus: float | None = Field(
        None,
        ge=0,
        description="GPUs a task; a fraction shares one; of a step with `device: cuda`, its tasks that work there",
    )
    memory: int | None = Field(None, ge=1 << 20, description="bytes a task")
    workers: int | None = Field(
        None, ge=1, description="workers, where the step keeps a model; as many as fit by default"
    )


class Resources(Model):
    """How the work is spread. Nothing here changes a byte of the result, and none of it is part of a fingerprint."""

    cpus: int | None = Field(
        None, ge=1, description="processors to use on this machine; all of them by default"
    )
    gpus: float = Field(
        0,
        ge=0,
        description="GPUs an embedding worker holds, or one of a step that clusters with `device: cuda`; a fraction "
        "shares one; 0: none, and with `device: cuda` one",
    )
    decode_tasks: int = Field(
        0,
        ge=0,
        description="decoding tasks that an embedding worker with a GPU keeps at work on processors anywhere, one "
        "each; 0: it decodes by itself",
    )
    memory: int | None = Field(
        None,
        ge=1 << 26,
        description="bytes that each task claims that gathers what many parts have written; by default none",
    )
    stuck_after: float = Field(
        600,
        gt=0,
        description="seconds without a finished task after which those at work are named; none is ended",
    )
    grows: bool = Field(
        False,
        description="the cluster adds nodes as they are asked for: a claim that no node meets now is waited for",
    )
    steps: dict[Name, Claim] | None = Field(
        None, description="claims of single steps, by their names: `{embed: {gpus: 0.5}}`"
    )

    @model_validator(mode="after")
    def _decoding_finds_a_processor(self) -> Resources:
        if self.decode_tasks and not self.gpus:
            raise ValueError(
                f"`decode_tasks` is {self.decode_tasks}, but workers hold no GPU: they would take the processors that "
                "decoding waits for: set `gpus`, or leave it out"
            )
        return self


class Job(Model):
    """A whole job."""

    name: Name
    input: tuple[Input, ...] = Field(min_length=1)
    output: str = Field(min_length=1, description="the run directory: an fsspec URL")
    seed: int = Field(42, ge=0, le=2**63 - 1, description="of samples, hashes and random choices")
    part_samples: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="samples a part, at most: the unit of work and of resume",
    )
    range_samples: int = Field(
        10_000_000, ge=1, description="samples a file of a global step's result, about"
    )
    limits: Annotated[Limits, BeforeValidator(_filled)] = Limits()
    resources: Annotated[Resources, BeforeValidator(_filled)] = Resources()
    steps: tuple[Step, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Job:
        names = [step.name for step in self.steps]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two steps are called `{twice[0]}`: give one of them a `name:`")
        reserved = {"ingest", "ledger"} & set(names)
        if reserved:
            raise ValueError(
                f"`{reserved.pop()}` is the name of a built-in step: choose another `name:`"
            )
        entries = [entry.name for entry in self.input]
        if len(set(entries)) < len(entries):
            raise ValueError(
                "two input entries have the same name: give each a `name:` of its own (it is part of every uid)"
            )
        return self

    @model_validator(mode="after")
    def _write_is_last(self) -> Job:
        writes = [i for i, step in enumerate(self.steps) if isinstance(step, Write)]
        if writes and writes != [len(self.steps) - 1]:
            raise ValueError("`write` stands once, as the last step")
        return self

    def agreement(self, config: NearDuplicates) -> Literal["none", "phash", "embedding"]:
        """What else must agree of near-duplicate captions, where the step does not say it as well."""
        has_pictures = any(not entry.precomputed for entry in self.input)
        return config.agree or ("phash" if has_pictures else "embedding")

    @property
    def embeds(self) -> tuple[Embed, ...]:
        """The job's embedding steps, in order."""
        return tuple(step for step in self.steps if isinstance(step, Embed))
