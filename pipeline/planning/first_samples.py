"""A look at an input's first samples before a run: whether any of them can be used. No picture is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from tamis.pipeline.inputs import json_rows, picture_paths
from tamis.pipeline.inputs.formats import format_of, outline, readable
from tamis.pipeline.inputs.ingest import ingest_file
from tamis.pipeline.inputs.inner_fields import field_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.store import storage
from tamis.schemas.job import Job
from tamis.schemas.ledger import Reason

SAMPLES = 50
"""Samples that are looked at, from the start of an entry's first file."""

KEYS = 10
"""Names in a message, at most."""

FOLDERS = 100
"""Folders beside a table in which its pictures are looked for."""

NONE = (0, 0)
"""The range of rows whose pictures are decoded: one that ends its process would end the plan."""

UNOPENED = {None, Reason.KILLED_ITS_WORKER}
"""Reasons of rows that may be sound: a picture that was not decoded is said to have ended a process."""


def unusable(job: Job, inputs: Sequence[InputFile]) -> Iterator[str]:
    """A note for each entry of the job of which none of the first samples can be used: a run would drop them all."""
    for entry in job.input:
        file = next(readable(file for file in inputs if file.entry == entry.name), None)
        if file is None or outline(file).damage is not None:
            continue
        options = IngestOptions(
            SAMPLES,
            job.limits.max_pixels,
            job.limits.max_member_bytes,
            empty_captions=job.limits.empty_captions == "keep",
            span=NONE,
        )
        for rows in islice(ingest_file(file, options), 1):
            reasons = rows["reason"].to_pylist()
            if not UNOPENED.isdisjoint(reasons):
                continue
            (reason, _), *_ = Counter(reasons).most_common(1)
            row = rows.slice(reasons.index(reason), 1).to_pylist()[0]
            torn = format_of(file).mend(file, rows)
            yield (
                f"{file.source}: none of the first {len(reasons)} samples can be used: {reason}: {row['message']}"
                f"{mend(file, row) if torn is None else f'; {torn}'}"
            )


def mend(file: InputFile, row: Mapping[str, Any]) -> str:
    """The mend for samples of a file that are dropped as ``row`` is, as the end of a message."""
    reason, taken = row["reason"], outline(file).taken
    if reason not in {Reason.MISSING_IMAGE, Reason.MISSING_CAPTION}:
        return ""
    if reason == Reason.MISSING_IMAGE and "image" in taken:
        if picture_paths.NOT_THERE not in (row["message"] or ""):
            return ""
        below = _folder_of(file, taken["image"], row)
        if below is not None:
            return f": it lies in {below}: put the table there"
        return (
            ": put the pictures below the table's folder, name another column: `columns: {image: NAME}`, or read none: "
            "`columns: {image: none}`"
        )
    others = [name for name in format_of(file).columns(file) if name not in taken.values()]
    keys = f"; the json has {', '.join(others[:KEYS])}" if others and not taken else ""
    if reason == Reason.MISSING_IMAGE:
        return f"{keys}; a job takes other names by `columns: {{image: NAME, text: NAME}}`"
    return f"{keys}; a job takes another name by `columns: {{text: NAME}}`, or none by `captions: none`"


def _folder_of(file: InputFile, column: str, row: Mapping[str, Any]) -> str | None:
    """The folder near a table in which the picture lies that a row of it names, by the way from the table to it."""
    path = field_of(json_rows.parsed(row["meta"] or "{}"), column)
    folder = storage.parent(storage.absolute(file.path))
    if not isinstance(path, str) or not path or "://" in path:
        return None
    for way, base in (("", folder), ("../", storage.parent(folder))):
        below = ["", *(f"{name}/" for name in storage.folders_in(base)[:FOLDERS])]
        for name in below if way else below[1:]:
            if picture_paths.found_at(storage.join(base, f"{name}{path}")) is not None:
                return f"{way}{name}"
    return None
