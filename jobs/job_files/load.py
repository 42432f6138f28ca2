"""A checked job from the command line's request: a job file or preset, and changes to it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tamis.pipeline.audit.again.frozen_job import borrowing
from tamis.pipeline.audit.reading.finished_run import open_run
from tamis.pipeline.store import storage
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.layout import JOB, PLAN
from tamis.schemas.nearest import nearest
from tamis.schemas.parse import apply_setting, check, read

JOBS = Path(__file__).parents[1]
PRESETS = JOBS / "presets"

FITTED = "the job that fits"
"""The name in messages of a job that no file holds."""


@dataclass(frozen=True)
class Request:
    """A job's path or a preset's bare name, or None for the job that fits the inputs; and changes to it."""

    job: str | None
    inputs: Sequence[str] = ()
    output: str | None = None
    settings: Sequence[str] = ()
    cpus: int | None = None
    centroids: str | None = None


def load(request: Request) -> Job:
    """The checked job of a request.

    Raises:
        JobError: no such file or preset, or its content is no job.
        StateError: the run whose centroids are to be taken is not finished.
    """
    raw, preset = _fitted(request), False
    if raw is None:
        assert request.job is not None, "a job without a file fits its inputs"
        path, preset = locate(request.job)
        raw = read(read_text(path), request.job)
        if not preset:
            _check_place(raw, path, request)
    if preset:
        _point_at_examples(raw)
    job = _changed(raw, request, preset)
    return borrowing(job, open_run(request.centroids).root) if request.centroids else job


def _check_place(raw: Mapping[str, Any], path: str, request: Request) -> None:
    """Refuse a run's own job file whose run directory is another: it would begin in the old place again.

    Raises:
        JobError: the run has been moved or copied, and the request does not say where to go on.
    """
    folder, output = storage.parent(storage.absolute(path)), raw.get("output")
    said = request.output or any(setting.startswith("output=") for setting in request.settings)
    if said or not isinstance(output, str) or path.rpartition("/")[2] != JOB:
        return
    if storage.exists(storage.join(folder, PLAN)) and not storage.is_same(folder, output):
        raise JobError(
            f"{path}: its run has been moved or copied from `{storage.redact(output)}`: say which goes on, with "
            f"--output {storage.redact(folder)} or --output {storage.redact(output)}"
        )


def _fitted(request: Request) -> dict[str, Any] | None:
    """The job that fits the request's inputs, or that of its run directory; None where it names a job.

    Raises:
        JobError: it names neither.
    """
    if request.job is not None:
        return None
    if not request.inputs:
        raise JobError(
            "name a job file or a preset (`tamis presets`), or --input for the job that fits it"
        )
    if request.output is not None:
        known = storage.join(request.output, JOB)
        if storage.exists(known):
            return read(read_text(known), known)
    from tamis.jobs.job_files.draft import fitted

    return read(fitted(request.inputs), FITTED)


def load_map(job: Mapping[str, Any], request: Request) -> Job:
    """The checked job of a map with the keys of a job file, and the changes of a request; the map stays as it is.

    Raises:
        JobError: it is no job.
    """
    return _changed(copy.deepcopy(dict(job)), replace(request, job="the job"), preset=False)


def _changed(raw: dict[str, Any], request: Request, preset: bool) -> Job:
    if request.inputs:
        _replace_input(raw, request.inputs)
    if request.output is not None:
        raw["output"] = request.output
    if request.cpus is not None:
        apply_setting(raw, f"resources.cpus={request.cpus}")
    for setting in request.settings:
        apply_setting(raw, setting)
    source = request.job or FITTED
    if preset:
        _check_paths(raw, source)
    return check(raw, source)


def presets() -> list[str]:
    """The names of the presets, sorted."""
    return sorted(name.removesuffix(".yaml") for name in storage.listing(str(PRESETS)))


def locate(job: str) -> tuple[str, bool]:
    """The path of a job, and whether it is a preset (a bare name without an ending).

    Raises:
        JobError: no preset has that name.
    """
    if "/" in job or "\\" in job or job.lower().endswith((".yaml", ".yml")):
        return job, False
    return preset_path(job), True


def preset_path(name: str) -> str:
    """The path of a preset.

    Raises:
        JobError: no preset has that name.
    """
    names = presets()
    if name not in names:
        raise JobError(
            f"{name}: no such preset{nearest(name, names)}; a job file's name ends in .yaml or has a /"
        )
    return str(PRESETS / f"{name}.yaml")


def read_text(path: str) -> str:
    """A job file's text.

    Raises:
        JobError: a directory, or no text in UTF-8.
    """
    if storage.is_folder(path):
        raise JobError(
            f"{path}: is a directory: name a job file in it (a run's own is job.yaml), or curate what is in it: "
            f"--input {path}"
        )
    try:
        return storage.read_bytes(storage.stat(path).path).decode()
    except UnicodeDecodeError:
        raise JobError(f"{path}: is no text in UTF-8: name a job file (YAML)") from None


def _point_at_examples(raw: dict[str, Any]) -> None:
    """Make a preset's own input paths absolute: they are relative to the installation."""
    for entry in raw.get("input") or ():
        if isinstance(entry.get("path"), str):
            entry["path"] = str(JOBS.parent / entry["path"])


def _replace_input(raw: dict[str, Any], paths: Sequence[str]) -> None:
    entries = raw.get("input") or [{}]
    if isinstance(entries, str):  # short for one entry with that path
        entries = [{}]
    if not isinstance(entries, list) or len(entries) > 1 or not isinstance(entries[0], dict):
        raise JobError(
            f"--input {paths[0]}: the job has {len(entries)} inputs: "
            "choose one with --set input.0.path=..."
        )
    raw["input"] = [{**entries[0], "path": list(paths)}]


def _check_paths(raw: dict[str, Any], preset: str) -> None:
    """Refuse a preset without input or output, which the command line has to name."""
    entries = raw.get("input") or [{}]
    if not all("path" in entry for entry in entries if isinstance(entry, dict)):
        raise JobError(f"{preset}: has no input: add --input 'data/{{00000..00007}}.tar'")
    if "output" not in raw:
        raise JobError(f"{preset}: has no output: add --output runs/{preset}")
