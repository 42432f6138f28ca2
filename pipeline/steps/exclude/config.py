"""The settings of `exclude`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field

from tamis.schemas.step import BY_RULE, Change, Reasons, Share, StepModel

EXCLUDED = "excluded"
NOT_LISTED = "not_listed"

On = Literal["uid", "url", "domain", "sha256", "phash", "caption", "signal"]


class Exclude(StepModel):
    """Leave out samples that stand in a list, or in another set: a test suite, an earlier release, a take-down list."""

    kind = "exclude"
    reasons: ClassVar[Reasons] = {
        EXCLUDED: "it stands in a list of what is to be left out",
        NOT_LISTED: "it does not stand in the list of what alone is to stay (`all_but`)",
    }
    phrases: ClassVar[Mapping[str, str]] = {EXCLUDED: BY_RULE, NOT_LISTED: BY_RULE}
    likeness = "bits apart"
    path: str = Field(
        alias="list",
        min_length=1,
        examples=["lists/blocked.txt"],
        description="a text file, an entry a line; parquet, several files by a pattern; a folder in UT1's form, with "
        "a file `domains`; or a finished run, for the samples that it keeps",
    )
    on: On = Field(
        examples=["domain"],
        description="what is compared: uid; url, whatever its scheme; domain, the URL's host or one above it; sha256, "
        "of the picture's bytes; phash, its perceptual hash; caption, folded; signal, a stored column of text",
    )
    signal: str | None = Field(
        None, examples=["md5"], description="the column, with `on: signal`; none by default"
    )
    column: str | None = Field(
        None,
        examples=["domain"],
        description="the parquet file's column of entries; found by its usual names by default",
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

    def with_paths(self, change: Change) -> Self:
        """The list's path changed."""
        return self.model_copy(update={"path": change(self.path)})
