"""Input files that are no longer what they were when they were listed, or when an earlier run read them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.formats import format_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.store.storage import redact
from tamis.schemas.errors import InputError
from tamis.schemas.job import Input


def sha256_of(file: InputFile) -> str:
    """The hash of a file's bytes, in hex digits; of a folder's samples."""
    digest = hashlib.sha256()
    for block in format_of(file).blocks(file):
        digest.update(block)
    return digest.hexdigest()


def is_touched(file: InputFile, since: int) -> bool:
    """Whether a file is local, and was written, copied, renamed or given away since a time, in ns since 1970."""
    return bool(file.touched) and int(file.touched.partition(" ")[0]) >= since


def check_unchanged(
    entries: Sequence[Input], files: Sequence[InputFile], notes: Iterable[Mapping[str, Any]]
) -> None:
    """Check that input files are what they were when they were listed; ``notes`` are ingest's, with their sha256.

    Raises:
        InputError: one has been written again, or is gone. Of a local file that was only touched the bytes decide.
    """
    now = {file.source: file for entry in entries for file in input_files(entry)}
    for file, noted in zip(files, notes, strict=True):
        found = now.get(file.source)
        same = found is not None and (found.size, found.stamp) == (file.size, file.stamp)
        if same and found is not None and found.touched != file.touched:
            same = sha256_of(file) == noted["sha256"]
        if not same:
            raise InputError(
                f"`{redact(file.path)}` has changed while the run was at work: its result may be of both: run again "
                "with --accept-changed"
            )
