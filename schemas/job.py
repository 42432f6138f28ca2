"""The job file: what goes in, what happens to it, where the result lies.

Every field says its unit, its range and its default. Unknown keys are errors that name the nearest known key
(``schemas.parse`` makes the one-line messages).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from tamis.schemas.formats import check_word
from tamis.schemas.json_schema import AnyStep
from tamis.schemas.model import Model, Name
from tamis.schemas.nearest import nearest
from tamis.schemas.registry import STEPS, configuration
from tamis.schemas.resources import Resources
from tamis.schemas.step import StepModel

Paths = tuple[str, ...]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _entries(value: object) -> object:
    """``input: data/*.tar`` is short for a list of one entry with that path; so is a list of paths, or the entry."""
    if isinstance(value, str):
        return [{"path": value}]
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return [{"path": value}]
    return value


Column = Literal["image", "text", "url", "uid", "key", "width", "height", "sha256"]
"""What ingest takes of a sample, by its own names."""

Captions = Literal["one", "first", "each", "none"]


def _printable(value: str) -> str:
    """A path that can be shown and written down."""
    if not value.isprintable():
        raise ValueError(f"has a character that cannot be shown: {value[:80]!r}")
    return value


def named(path: str, /, *, or_name: bool = False) -> str:
    """A path, as it is.

    Raises:
        ValueError: it is empty, as a variable of the shell that is not set makes it.
    """
    del or_name
    if not path.strip():
        raise ValueError(
            f"{path!r} is no path: a variable of the shell that is not set? Name a file or directory"
        )
    return path


def _filled(value: object) -> object:
    """In YAML a key below which all is commented out has no value."""
    return {} if value is None else value


def _step(value: Any) -> Any:
    """``{kind: settings}`` -> the step's settings, checked by their own class."""
    if isinstance(value, StepModel):
        return value
    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError("a step is a map of one key, its kind: `- density: {keep: 0.4}`")
    ((kind, settings),) = value.items()
    if kind not in STEPS:
        raise ValueError(f"no such step `{kind}`{nearest(kind, list(STEPS))}")
    model = configuration(kind)
    return model.model_validate(model.shorthand({} if settings is None else settings))


def _settled(steps: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(step.settled(steps) for step in steps)


def _of(place: str, check: Callable[[], object]) -> None:
    """Do a check whose error names the place."""
    try:
        check()
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


Step = Annotated[Any, BeforeValidator(_step), AnyStep()]


class Given(Model):
    """Embeddings that come with an entry's files, under a name of their own."""

    image: str = Field(
        examples=["data/*.npz#b32_img"],
        description="as `image_embeddings`; of `.npz` files the member behind a `#`",
    )
    text: str | None = Field(
        None, examples=["data/*.npz#b32_txt"], description="the same for captions"
    )


class Input(Model):
    """One entry of ``input``: files of one format under one fixed prefix."""

    path: Annotated[Paths, BeforeValidator(_listed, json_schema_input_type=str | Paths)] = Field(
        min_length=1,
        examples=["data/{00000..00007}.tar"],
        description="files of one format below one fixed prefix: paths or fsspec URLs (s3://, gs://, https://), one "
        "or a list, with globs (`*`) and brace ranges (`{00000..00007}`); or a directory, for all files below it",
    )
    name: Name = Field(
        "input",
        description="stands before the relative path in the ledger's `source`, and is part of every uid: two entries "
        "need two names",
    )
    format: Annotated[str, AfterValidator(check_word)] = Field(
        "auto",
        description="webdataset, parquet, jsonl, csv or folder; auto: by the ending (.tar is webdataset); a directory "
        "of single pictures is folder",
    )
    columns: dict[
        Column, Annotated[Paths, BeforeValidator(_listed, json_schema_input_type=str | Paths)]
    ] = Field(
        default={},
        examples=[{"image": ["img", "input.jpg"], "text": "cap"}],
        description="the input's own names of what is taken from it, where they are not the usual ones: columns, "
        "keys of json, or suffixes of a tar's members; of several the first that a sample has. `{uid: none}`: the "
        "input's own uids are not taken, such as those that are not 32 hex digits; `{image: none}`: a table's "
        "pictures are not read, such as paths of pictures that are not there",
    )
    captions: Captions = Field(
        "one",
        description="one: a sample has one caption; first: of a list of captions the first; each: a sample for every "
        "caption of a list; none: no caption is read, for jobs that look at pictures alone",
    )
    image_embeddings: str | None = Field(
        None,
        examples=["data/img_emb/*.npy"],
        description="embeddings that come with the files, clip-retrieval's way: `.npy` files, as many as there are "
        "input files, in sorted order; a row for each row of parquet, or each sample of a tar; none by default",
    )
    text_embeddings: str | None = Field(
        None, examples=["data/text_emb/*.npy"], description="the same for captions"
    )
    features: bool = Field(
        False,
        description="the same DataComp's way: beside each `X.parquet` lies `X.npz`, row-aligned",
    )
    image_feature: str = Field(
        "l14_img", description="the member of the `.npz` that holds image embeddings"
    )
    text_feature: str = Field(
        "l14_txt", description="the member of the `.npz` that holds caption embeddings"
    )

    embeddings: dict[Name, Given] = Field(
        default={},
        examples=[{"b32": {"image": "data/*.npz#b32_img", "text": "data/*.npz#b32_txt"}}],
        description="embeddings of further models, each with a name, which `embed: {encoder: precomputed:NAME}` takes",
    )

    @field_validator("columns")
    @classmethod
    def _uids_and_pictures_can_be_left(cls, columns: dict[Column, Paths]) -> dict[Column, Paths]:
        for name, names in columns.items():
            if not all(names) or not names:
                raise ValueError(f"{name}: name a column, a key or a suffix")
            if names == ("none",) and name not in {"uid", "image"}:
                raise ValueError(
                    f"{name}: `none` is for uid and image; of an input without captions say `captions: none`"
                )
        return columns

    @property
    def precomputed(self) -> bool:
        """True if embeddings come with this entry."""
        return self.features or self.image_embeddings is not None or bool(self.embeddings)


class Limits(Model):
    """Limits beyond which ingest drops a sample."""

    max_pixels: int = Field(
        178_956_970, ge=1, description="pixels a picture; more is a bomb, refused from its header"
    )
    max_member_bytes: int = Field(
        256 << 20, ge=1, description="bytes a tar member or a parquet cell"
    )
    empty_captions: Literal["drop", "keep"] = Field(
        "drop",
        description="what becomes of a sample whose caption has nothing to see; where it is kept, `words` is 0",
    )


class Job(Model):
    """A whole job."""

    name: Name = Field(
        examples=["my-job"],
        description="small letters, digits, `_`, `-` and `.`, at most 64; a run directory belongs to one job name",
    )
    input: Annotated[tuple[Input, ...], BeforeValidator(_entries)] = Field(min_length=1)
    output: Annotated[str, AfterValidator(named), AfterValidator(_printable)] = Field(
        min_length=1,
        examples=["runs/my-job"],
        description="the run directory, for result, ledger, tables and manifest: a path or an fsspec URL",
    )
    seed: int = Field(
        42,
        ge=0,
        le=2**63 - 1,
        description="of samples, hashes and random choices: the same seed, job and input give the same bytes",
    )
    part_samples: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="samples a part, at most: the unit of work and of resume; fixed once a run directory exists",
    )
    range_samples: int = Field(
        10_000_000, ge=1, description="samples a file of a global step's result, about"
    )
    limits: Annotated[Limits, BeforeValidator(_filled, json_schema_input_type=Limits | None)] = (
        Limits()
    )
    resources: Annotated[
        Resources, BeforeValidator(_filled, json_schema_input_type=Resources | None)
    ] = Resources()
    steps: Annotated[tuple[Step, ...], AfterValidator(_settled)] = Field(min_length=1)

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
    def _paths_are_named(self) -> Job:
        for entry in self.input:
            given = [p for one in entry.embeddings.values() for p in (one.image, one.text)]
            for path in (*entry.path, entry.image_embeddings, entry.text_embeddings, *given):
                if path is not None:
                    _of(f"input `{entry.name}`", partial(named, path))
        for step in self.steps:
            _of(step.name, partial(step.with_paths, named))
        return self

    @model_validator(mode="after")
    def _the_last_step_is_last(self) -> Job:
        for number, step in enumerate(self.steps, 1):
            if step.is_last and number < len(self.steps):
                raise ValueError(f"`{step.kind}` stands once, as the last step")
        return self

    @model_validator(mode="after")
    def _captions_are_there_for_all_steps(self) -> Job:
        bare = [entry.name for entry in self.input if entry.captions == "none"]
        reading = [step.name for step in self.steps if step.reads_captions]
        if bare and reading:
            raise ValueError(
                f"{reading[0]}: works on captions, and input `{bare[0]}` says `captions: none`: leave the step out"
            )
        return self

    @property
    def has_captions(self) -> bool:
        """True if the samples of all inputs come with captions."""
        return all(entry.captions != "none" for entry in self.input)

    @property
    def has_pictures(self) -> bool:
        """True if some of the input comes as pictures, and not as embeddings alone."""
        return any(not entry.precomputed for entry in self.input)

    @property
    def embeds(self) -> tuple[Any, ...]:
        """The steps that make an embedding, in order."""
        return tuple(step for step in self.steps if step.makes_embedding)
