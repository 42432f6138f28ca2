"""Comparison of embeddings that came with the input with the records and tables of a run.

The manifest has their sizes and no hashes (``pipeline.runs.manifest`` says why). So a file that was overwritten with
one of the same size is found only by comparing its rows with the stored ones, part by part.
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
from tamis.schemas.manifest import Embeddings
from tamis.schemas.scope import Scope

Mismatch = tuple[str, str]
"""(input file and kind of embeddings, message)."""


def files_now(job: Job) -> dict[str, InputFile]:
    """Input files by name, with the present paths of their embeddings; entries that cannot be read are left out."""
    files: dict[str, InputFile] = {}
    for entry in job.input:
        try:
            files |= {file.source: file for file in input_files(entry)}
        except (InputError, JobError):
            continue
    return files


def address_of(file: InputFile | None, record: Embeddings) -> str | None:
    """The present address of an input file's embeddings; None if there are none."""
    if file is None:
        return None
    address = file.embeddings(record.embedding).get(record.of)
    return address if address and storage.exists(address.partition("#")[0]) else None


def wrong_sizes(run: FinishedRun, now: Mapping[str, InputFile]) -> Iterator[Mismatch]:
    """Compare the sizes of files that are still there with the manifest."""
    for record in run.files.embeddings:
        address = address_of(now.get(record.source), record)
        if address is None:
            continue
        size = storage.stat(address.partition("#")[0]).size
        if size != record.bytes:
            yield (
                f"{record.source}: {record.of} embeddings {record.name}",
                f"has {size:,} bytes, manifest.json says {record.bytes:,}: the embeddings have changed since",
            )


def other_rows(run: FinishedRun, now: Mapping[str, InputFile]) -> Iterator[Mismatch]:
    """Compare the rows of files with the stored ones. Memory holds one part."""
    taking = [step for step in run.steps if step.takes_embeddings]
    wrong: Counter[str] = Counter()
    for step in taking:
        for part in run.parts:
            number, source = part.number, run.inputs[part.file].source
            for record in run.files.embeddings:
                address = address_of(now.get(source), record)
                other = (record.source, record.embedding) != (source, step.taken_embedding)
                if other or address is None:
                    continue
                name = f"{source}: {record.of} embeddings {record.name}"
                try:
                    wrong[name] += _differing(run, step.name, number, record.of, address)
                except (InputError, OSError) as error:
                    yield name, f"cannot be read: {error}"
    for name, rows in wrong.items():
        if rows:
            yield (
                name,
                f"{counted(rows, 'row')} other than what is stored: the embeddings have changed since",
            )


def _differing(run: FinishedRun, step: str, number: int, of: str, address: str) -> int:
    """Number of a part's usable rows that differ between the file and the stored table."""
    stored = run.table(step, "vectors", paths.task_name(Scope.PART, number))
    ingest = run.ingested(number)
    if stored is None or ingest is None or of not in stored.column_names:
        return 0
    usable = np.asarray(stored["reason"].is_null())
    rows = stored["row"].to_numpy()[usable]
    present = embeddings_at(address, ingest["file_row"].to_numpy()[rows]).astype(np.float16)
    known = vectors(stored[of])[usable]
    if present.shape != known.shape:
        return len(rows)
    return int((present != known).any(axis=1).sum())
