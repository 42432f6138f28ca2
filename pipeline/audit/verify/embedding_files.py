"""Embeddings that came with the input, held against what a run recorded and stored of them.

The manifest has their sizes and no hash (``pipeline.runs.manifest`` says why), so one that was written again with
the same size is found only by reading: each part's rows are taken from the file once more, and compared with what is
stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.reading.words import counted
from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.embed.step import embeddings_at
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tables.columns import vectors
from tamis.schemas.errors import InputError, JobError
from tamis.schemas.job import Job
from tamis.schemas.scope import Scope

Found = tuple[str, str]
"""(input file and what of it, what does not hold there)."""


def files_now(job: Job) -> dict[str, InputFile]:
    """Input files by name, with where their embeddings lie now; without entries whose files do not pair any more."""
    found: dict[str, InputFile] = {}
    for entry in job.input:
        try:
            found |= {file.source: file for file in input_files(entry)}
        except (InputError, JobError):
            continue
    return found


def address_of(file: InputFile | None, of: str) -> str | None:
    """Where an input file's embeddings lie; None where there are none."""
    if file is None:
        return None
    address = file.image_embeddings if of == "image" else file.text_embeddings
    return address if address and storage.exists(address.partition("#")[0]) else None


def wrong_sizes(run: FinishedRun, now: Mapping[str, InputFile]) -> Iterator[Found]:
    """Files that are still there with another size than the manifest's."""
    for record in run.manifest.embeddings:
        address = address_of(now.get(record.source), record.of)
        if address is None:
            continue
        size = storage.stat(address.partition("#")[0]).size
        if size != record.bytes:
            yield (
                f"{record.source}: {record.of} embeddings {record.name}",
                f"has {size:,} bytes, manifest.json says {record.bytes:,}: the embeddings have changed since",
            )


def other_rows(run: FinishedRun, now: Mapping[str, InputFile]) -> Iterator[Found]:
    """Files whose rows are not what is stored of them. Holds a part at a time."""
    taking = [step.name for step in run.steps if step.takes_embeddings]
    wrong: Counter[str] = Counter()
    for step in taking:
        for number, (file, _, _) in enumerate(run.parts):
            source = run.inputs[file].source
            for record in run.manifest.embeddings:
                address = address_of(now.get(source), record.of)
                if record.source != source or address is None:
                    continue
                name = f"{source}: {record.of} embeddings {record.name}"
                try:
                    wrong[name] += _differing(run, step, number, record.of, address)
                except (InputError, OSError) as error:
                    yield name, f"cannot be read: {error}"
    for name, rows in wrong.items():
        if rows:
            yield (
                name,
                f"{counted(rows, 'row')} other than what is stored: the embeddings have changed since",
            )


def _differing(run: FinishedRun, step: str, number: int, of: str, address: str) -> int:
    """How many usable rows of a part the file now has otherwise."""
    stored = run.table(step, "vectors", paths.task_name(Scope.PART, number))
    ingest = run.ingested(number)
    if stored is None or ingest is None or of not in stored.column_names:
        return 0
    usable = np.asarray(stored["reason"].is_null())
    rows = stored["row"].to_numpy()[usable]
    there = embeddings_at(address, ingest["file_row"].to_numpy()[rows]).astype(np.float16)
    held = vectors(stored[of])[usable]
    if there.shape != held.shape:
        return len(rows)
    return int((there != held).any(axis=1).sum())
