"""Export of a run into a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass

from tamis.pipeline.audit.export.layouts import LAYOUTS
from tamis.pipeline.audit.export.rows import Among, Rows
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.search.stored import Embedding
from tamis.pipeline.runs.state import check_above
from tamis.pipeline.store import finished, storage
from tamis.schemas.errors import JobError
from tamis.schemas.nearest import nearest


@dataclass(frozen=True)
class Exported:
    """The result of an export: the folder, its files in order, and the samples in them."""

    folder: str
    files: tuple[str, ...]
    samples: int


def export(
    run: FinishedRun, layout: str, output: str, among: Among, embedding: str | None
) -> Exported:
    """Write the kept samples of a run, or all, in a layout of LAYOUTS, into an empty folder.

    Raises:
        JobError: no such layout, no folder or one that holds something, or nothing to write.
        StateError: a layout of vectors, and the run has none; or the run was done again meanwhile.
    """
    if layout not in LAYOUTS:
        raise JobError(f"--as {layout}: is no layout{nearest(layout, list(LAYOUTS))}")
    if not output:  # which would mean the current folder
        raise JobError("--output is empty: name a new folder")
    chosen, folder = LAYOUTS[layout], storage.absolute(output)
    if storage.is_file(folder):
        raise JobError(f"--output {storage.redact(output)}: is a file: name a folder")
    check_above(folder)
    if storage.files_in(folder) or storage.folders_in(folder):
        raise JobError(
            f"--output {storage.redact(output)}: holds something: name an empty folder, or a new one"
        )
    reads = chosen.vectors == "needed" or (chosen.vectors == "if any" and _is_embedded(run))
    watched = finished.Watched(run.root)
    rows = Rows(run, among, Embedding(run, embedding) if reads else None)
    samples = sum(rows.count(bundle) for bundle in rows.bundles)
    if not samples:
        what = "with a vector " if reads else ""
        raise JobError(f"--among {among}: this run has no such samples {what}: nothing to export")
    files = tuple(chosen.write(rows, folder))
    watched.check()
    return Exported(storage.redact(folder), files, samples)


def _is_embedded(run: FinishedRun) -> bool:
    return any(step.makes_embedding for step in run.steps)
