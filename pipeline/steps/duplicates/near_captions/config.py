"""The settings of `near_duplicates`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from tamis.pipeline.steps.duplicates.config import DETAIL, ByEdges, Cut
from tamis.schemas.job import Job
from tamis.schemas.step import Reasons, Share

NEAR_CAPTION = "near_caption"

OF_AGREEMENT = {
    "phash": ("hamming", "difference", "detail"),
    "embedding": ("cosine", "embedding"),
}
"""What must agree -> the settings that belong to it."""


class NearDuplicates(ByEdges):
    """Drop samples whose captions are nearly the same (MinHash-LSH, verified), and whose pictures agree."""

    kind = "near_duplicates"
    reasons: ClassVar[Reasons] = {
        NEAR_CAPTION: "another sample has nearly the same caption (and, where asked, picture)"
    }
    likeness = "Jaccard"
    cutting = ("jaccard", "hamming", "difference", "detail", "cosine", "group")
    edge_phases = ("seen",)
    jaccard: Share = Field(0.8, description="captions at least this alike are near-duplicates")
    agree: Literal["none", "phash", "embedding"] | None = Field(
        None,
        examples=["phash"],
        description="what else must agree: none, phash or embedding; by default phash, or embedding where there are "
        "no pictures",
    )
    hamming: int = Field(
        8,
        ge=0,
        le=32,
        description="bits in which the 64-bit perceptual hashes may differ (agree: phash)",
    )
    difference: Share = Field(
        0.11,
        description="how far the pictures' layouts may differ, as a share of their contrast (agree: phash)",
    )
    detail: Share | None = Field(
        0.18,
        description="how far a small cell of two pictures may differ whose layouts and captions are alike, which are "
        "opened again for it (agree: phash); null: they are not",
    )
    cosine: Share = Field(0.9, description="the least cosine of the embeddings (agree: embedding)")
    embedding: str | None = Field(
        None,
        examples=["embed"],
        description="which embedding, where there are two; by default the only one",
    )
    fold: tuple[Literal["markup", "quotes", "vowels"], ...] = Field(
        ("markup", "quotes", "vowels"),
        description="what is read as one in captions, beside case, width and space: markup (HTML's entities are read, "
        "tags left out), quotes (curly quotes and long dashes), vowels (marks of Arabic and Hebrew)",
    )
    ngram: int = Field(3, ge=1, le=24, description="characters (or words) a shingle")
    unit: Literal["char", "word"] = Field("char", description="what a shingle is made of")
    segment: bool = Field(
        False,
        description="whether words of scripts without blanks are found by ICU's dictionaries (unit: word); needs the "
        "extra `signals`",
    )
    permutations: int = Field(108, ge=16, le=1024, description="hashes a signature")
    recall: float = Field(
        0.99,
        gt=0,
        lt=1,
        description="share of the pairs at the threshold that the bands find; chooses bands and rows",
    )
    kernel: Literal["fast", "datasketch"] = Field("fast", description="who computes the signatures")

    def idle(self) -> Mapping[str, str]:
        """What another agreement needs than the one that the job names, and words where there are none."""
        idle = {} if self.unit == "word" else {"segment": "`unit: word`"}
        for agree, names in OF_AGREEMENT.items():
            if self.agree not in (None, agree):
                idle |= dict.fromkeys(names, f"`agree: {agree}`")
        return idle

    @property
    def looks(self) -> bool:
        """True if ``detail`` is to be compared."""
        return self.agree in (None, "phash") and self.detail is not None

    @property
    def modules(self) -> tuple[str, ...]:
        """ICU, where words are segmented."""
        return ("icu4py",) if self.segments else ()

    @property
    def segments(self) -> bool:
        """Whether captions are cut into words by a dictionary."""
        return self.segment and self.unit == "word"

    @property
    def reads_captions(self) -> bool:
        """True."""
        return True

    def agreement(self, job: Job) -> Literal["none", "phash", "embedding"]:
        """The second condition, where the step leaves it to the job's input as well."""
        return self.agree or ("phash" if job.has_pictures else "embedding")

    def detail_bound(self, job: Job) -> float | None:
        """How far small cells of pictures may differ; None where pictures are not opened for it."""
        return self.detail if self.agreement(job) == "phash" else None

    def cuts(self, job: Job) -> Sequence[Cut]:
        """Jaccard, and what bounds the pictures."""
        pictures = {
            "none": (),
            "phash": (
                Cut("hamming", "agree", larger=False),
                Cut("difference", "difference", larger=False),
            ),
            "embedding": (Cut("cosine", "agree", larger=True),),
        }
        details = () if self.detail_bound(job) is None else (DETAIL,)
        return Cut("jaccard", "jaccard", larger=True), *pictures[self.agreement(job)], *details
