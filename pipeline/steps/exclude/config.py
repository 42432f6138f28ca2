"""The settings of `exclude`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field

from tamis.pipeline.steps.shared.config import Epsilon
from tamis.schemas.redaction import redact
from tamis.schemas.step import BY_RULE, Change, Reasons, Share, StepModel, Width

EXCLUDED = "excluded"
NOT_LISTED = "not_listed"

On = Literal["uid", "url", "domain", "sha256", "md5", "phash", "embedding", "caption", "signal"]

IMAGE_MD5 = "image_md5"
"""The signal that is compared with `on: md5`, where no other is named."""

MOST_ENTRIES = 20_000_000
"""Entries of a list, at most: a worker holds them in some 50 bytes each, and while it sorts them in 180."""

MOST_HASHES = 1_000_000
"""Perceptual hashes of a list, at most: a worker holds them and their layouts, in some 500 bytes each."""

MOST_VECTORS = 500_000
"""Vectors of a list, at most: a worker holds them in 8 bytes a number."""


ONLY_ON: Mapping[str, tuple[On, ...]] = {
    "signal": ("signal", "md5"),
    "within": ("phash",),
    "difference": ("phash",),
    "detail": ("phash",),
    "epsilon": ("embedding",),
    "embedding": ("embedding",),
}
"""Settings -> the ways of comparing that they belong to."""


class Exclude(StepModel):
    """Leave out samples that stand in a list, or in another set: a test suite, an earlier release, a take-down list."""

    kind = "exclude"
    reasons: ClassVar[Reasons] = {
        EXCLUDED: "it stands in a list of what is to be left out",
        NOT_LISTED: "it does not stand in the list of what alone is to stay (`all_but`)",
    }
    phrases: ClassVar[Mapping[str, str]] = {EXCLUDED: BY_RULE, NOT_LISTED: BY_RULE}
    likeness = "distance"
    larger_is_alike = False
    path: str = Field(
        alias="list",
        min_length=1,
        examples=["lists/blocked.txt"],
        description="a text file, an entry a line; a table (parquet, CSV, JSON lines), several files by a pattern; a "
        "folder in UT1's form, with a file `domains`; a finished run, for the samples that it keeps; vectors (`.npy`, "
        "or `X.npz#MEMBER`), a row each, with `on: embedding`",
    )
    on: On = Field(
        examples=["domain"],
        description="what is compared: uid; url, whatever its scheme; domain, the URL's host or one above it; sha256, "
        "of the picture's bytes; md5, likewise, by the signal image_md5; phash, its perceptual hash; embedding, its "
        "stored vector; caption, folded; signal, a stored column of text",
    )
    signal: str | None = Field(
        None,
        examples=["licence"],
        description="the column, with `on: signal`, or instead of image_md5 with `on: md5`; none by default",
    )
    column: str | None = Field(
        None,
        examples=["domain"],
        description="the table's column of entries; found by its usual names by default",
    )
    all_but: bool = Field(
        False,
        description="true: the other way round: all is left out but what stands in the list. true or false",
    )
    within: int = Field(
        4,
        ge=0,
        le=16,
        description="bits in which two perceptual hashes may differ, with `on: phash`",
    )
    difference: Share = Field(
        0.11,
        description="how far the pictures' layouts may differ, with `on: phash` and a run, which has layouts: what the "
        "hash proposes, this decides",
    )
    detail: Share | None = Field(
        0.18,
        description="how far a small cell of two pictures may differ that layouts find alike, with `on: phash` and a "
        "run: both are opened again for it, so that run's input has to be there; null: they are not",
    )
    epsilon: Epsilon = Field(
        0.07,
        description="with `on: embedding`: left out where 1 - cosine to a listed vector is at most this",
    )
    embedding: str | None = Field(
        None,
        examples=["embed"],
        description="with `on: embedding`, which one, where there are two; by default the only one",
    )
    reveal: bool = Field(
        True,
        description="false: nothing of the list is stored or shown, neither its name nor an entry; it is known by its "
        "sha256. true or false",
    )
    redact: bool = Field(
        False,
        description="true: URL, key and caption of what is left out are blank in the ledger, its index and the report, "
        "and its picture is not shown. true or false",
    )

    gaps: bool = Field(
        False,
        description="true: the shards keep gaps where its samples stood, so that only those that held one are written "
        "again: for lists that come after a run. Stands right before `write`. true or false",
    )

    def idle(self) -> Mapping[str, str]:
        """What another way of comparing needs; and a column, of a list that has none."""
        idle = {
            name: " or ".join(f"`on: {one}`" for one in ways)
            for name, ways in ONLY_ON.items()
            if self.on not in ways
        }
        if self.on == "embedding" or self.path.lower().endswith(".txt"):
            idle["column"] = "a list in parquet"
        return idle

    @property
    def looks(self) -> bool:
        """True if ``detail`` is to be compared."""
        return self.on == "phash" and self.detail is not None

    @property
    def redacts(self) -> bool:
        """True if the names and captions of what the step drops are to be shown nowhere."""
        return self.redact

    @property
    def leaves_gaps(self) -> bool:
        """True if what the step drops keeps its position in the shards."""
        return self.gaps

    @property
    def hidden_list(self) -> bool:
        """True if the list is known by its sha256 alone."""
        return not self.reveal

    @property
    def compared_signal(self) -> str | None:
        """The stored column that is compared; None where it is none."""
        return self.signal or (IMAGE_MD5 if self.on == "md5" else None)

    def notes(self, samples: int | None, width: Width) -> Iterable[str]:
        """The memory that a worker needs for listed vectors."""
        yield from super().notes(samples, width)
        if self.on != "embedding":
            most, each = (MOST_HASHES, 500) if self.on == "phash" else (MOST_ENTRIES, 50)
            yield f"a worker holds at most {most:,} listed entries x {each} B: {most * each / 1e6:,.0f} MB"
            return
        dim = width(self.embedding)
        shown = "d" if dim is None else f"{dim:,}"
        needed = "" if dim is None else f": {MOST_VECTORS * dim * 8 / 1e6:,.0f} MB"
        yield f"a worker holds at most {MOST_VECTORS:,} listed vectors x {shown} x 8 B{needed}"

    def outcome(self, entered: int, dropped: int) -> Iterable[str]:
        """A list that meets no sample: its entries may be of another form than what is compared."""
        if entered and not dropped and self.reveal and not self.all_but:
            yield (
                f"{self.name}: none of {entered:,} samples stands in the list `{redact(self.path)}`: see whether its "
                f"entries are what `on: {self.on}` compares"
            )

    def with_paths(self, change: Change) -> Self:
        """The list's path changed."""
        file, mark, member = self.path.partition("#" if self.on == "embedding" else "\0")
        return self.model_copy(update={"path": f"{change(file)}{mark}{member}"})
