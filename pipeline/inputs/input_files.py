"""The input files of a job: what its patterns name, in order, each with the embeddings that belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tamis.pipeline.inputs import sources
from tamis.pipeline.store.storage import redact
from tamis.schemas.errors import JobError

if TYPE_CHECKING:
    from tamis.schemas.job import Input

KINDS: dict[str, Literal["tar", "parquet"]] = {".tar": "tar", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of the input. ``relative`` is its path below the entry's fixed prefix."""

    entry: str
    relative: str
    path: str
    size: int  # bytes
    stamp: str  # changes when the file is written again
    kind: Literal["tar", "parquet"]
    image_embeddings: str | None = None  # a .npy, or an .npz#member
    text_embeddings: str | None = None

    @property
    def source(self) -> str:
        """As the ledger calls it."""
        return f"{self.entry}/{self.relative}"


def input_files(entry: Input) -> list[InputFile]:
    """The files of one input entry, by relative path, each with the embeddings that belong to it.

    Raises:
        InputError: a pattern that matches nothing.
        JobError: a file of unknown format, or embeddings that do not pair with the files.
    """
    listing = sources.resolve(entry.path)
    images = _paired(entry, entry.image_embeddings, len(listing.files))
    texts = _paired(entry, entry.text_embeddings, len(listing.files))
    files = []
    for number, file in enumerate(listing.files):
        image, text = images[number], texts[number]
        if entry.features:
            stem = file.path.removesuffix(".parquet")
            image, text = f"{stem}.npz#{entry.image_feature}", f"{stem}.npz#{entry.text_feature}"
        files.append(
            InputFile(
                entry.name,
                file.relative,
                file.path,
                file.size,
                file.stamp,
                _kind(entry, file.path),
                image,
                text,
            )
        )
    return files


def _paired(entry: Input, pattern: str | None, count: int) -> Sequence[str | None]:
    if pattern is None:
        return [None] * count
    found = [file.path for file in sources.resolve([pattern]).files]
    if len(found) != count:
        raise JobError(
            f"input `{entry.name}`: {len(found)} embedding files for {count} input files: they must pair one to one"
        )
    return found


def _kind(entry: Input, path: str) -> Literal["tar", "parquet"]:
    if entry.format != "auto":
        return "tar" if entry.format == "webdataset" else "parquet"
    bare = path.lower()
    if "://" in bare:
        bare = bare.partition("?")[0]
    for ending, kind in KINDS.items():
        if bare.endswith(ending):
            return kind
    raise JobError(
        f"input `{entry.name}`: {redact(path)}: neither .tar nor .parquet: "
        "say `format: webdataset` or `format: parquet`"
    )
