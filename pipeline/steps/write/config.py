"""The settings of `write`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tamis.schemas.step import StepModel, Width

Stored = Literal["fp16", "int8"]
"""How numbers of vectors are stored."""

NUMBER_BYTES: dict[Stored, int] = {"fp16": 2, "int8": 1}


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) and value != "all" else value


class Write(StepModel):
    """Write the kept samples: webdataset shards with the original bytes, or parquet, and `subset.npy`.

    The last step.
    """

    kind = "write"
    is_last = True
    samples_per_shard: int = Field(10_000, ge=1, le=1_000_000, description="samples a shard")
    format: Literal["auto", "webdataset", "parquet"] = Field(
        "auto", description="auto: webdataset where the input has pictures, else parquet"
    )
    columns: Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_listed)] = Field(
        "all",
        description="columns of the input, and signals, in the shards' parquet files and json members: all, or a list "
        "of names. img2dataset's columns and the sample's origin are always there",
    )
    json_: Literal["input", "signals"] = Field(
        "input",
        alias="json",
        description="json members. input: as they are in the input's tars, byte for byte; of parquet, its columns; "
        "signals: with the signals too",
    )
    pictures: bool = Field(
        True, description="whether parquet holds the pictures too, where the input has them"
    )

    by: str | None = Field(
        None,
        examples=["quality"],
        description="the name of a step `tiers`: each tier has shards of its own, such as clean-00000.tar",
    )

    times: str | None = Field(
        None,
        examples=["repeat"],
        description="a signal of whole numbers, such as a step `repeat` makes: so often each uid stands in subset.npy. "
        "Shards have each sample once",
    )

    @property
    def repeated_by(self) -> str | None:
        """The signal that says how often a uid stands in the subset."""
        return self.times

    @property
    def divided_by(self) -> str | None:
        """The step that names the tiers."""
        return self.by

    embeddings: Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_listed)] = Field(
        (),
        examples=["all"],
        description="embeddings whose vectors are written beside each shard, in a `.npz` of the same rows: all, or a "
        "list of names",
    )
    embeddings_as: Stored = Field(
        "fp16",
        description="numbers of these vectors: fp16, as they are stored; int8, half as large, with a factor a row",
    )

    def idle(self) -> Mapping[str, str]:
        """How vectors are stored where none are, and what is said of files that are not written."""
        idle = {} if self.embeddings else {"embeddings_as": "`embeddings`"}
        if self.format == "webdataset":
            idle["pictures"] = "`format: parquet`"
        if self.format == "parquet":
            idle["json_"] = "`format: webdataset`"
        return idle

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """The bytes of the vectors that are written."""
        yield from super().notes(samples, width)
        for name in [None] if self.embeddings == "all" else self.embeddings:
            dim = width(name)
            if dim is not None:
                size = dim * NUMBER_BYTES[self.embeddings_as]
                yield (
                    f"vectors of {dim:,} numbers beside the shards: {size:,} B for each kept picture or caption"
                )

    @property
    def shard_size(self) -> int | None:
        """Samples a shard."""
        return self.samples_per_shard
