"""The preview of a job that ``plan`` shows before anything runs: inputs, columns, steps and concepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from tamis.pipeline import encoders
from tamis.pipeline.host import machine
from tamis.pipeline.inputs import picture_paths
from tamis.pipeline.inputs.formats import FOOTERS, format_of, outline, readable, rows_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.planning.first_samples import unusable
from tamis.pipeline.planning.sizes import sizes
from tamis.pipeline.planning.where import LOCAL_SAMPLES, is_small
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.signals import origins
from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.store import storage
from tamis.pipeline.tasks import claims, plan_files
from tamis.pipeline.tasks.step import Step
from tamis.schemas.errors import JobError
from tamis.schemas.formats import word
from tamis.schemas.job import Job
from tamis.schemas.step import StepModel

FEW_BYTES = 1 << 28
"""Bytes of an input from which it is told that its files are fewer than processors: below they are read in seconds."""


def preview(plan: Plan) -> dict[str, Any]:
    """The preview as plain values: ``inputs``, ``samples``, ``sizes``, ``local``, ``steps``, ``notes``.

    ``local``: whether ``tamis run`` does without Ray by itself, and below how many samples it would.

    Raises:
        JobError: the run would have more parts than this machine's memory can hold, or a step more clusters than
            there are samples.
        InputError: a file lacks a column that every job needs, or cannot be read.
    """
    inputs = [_input(plan, entry.name) for entry in plan.job.input]
    counts = [entry["samples"] for entry in inputs]
    total = None if None in counts else sum(counts)
    if total is not None and all(entry.captions != "each" for entry in plan.job.input):
        _refuse_clusters(plan.job, total)
    sized = sizes(plan)
    configs = {config.name: config for config in plan.job.steps}
    return {
        "job": plan.job.name,
        "output": storage.redact(plan.root),
        "inputs": inputs,
        "samples": total,
        "sizes": asdict(sized),
        "local": {"by_itself": is_small(plan.job, sized.samples), "below": LOCAL_SAMPLES},
        "steps": [_step(step, configs.get(step.name)) for step in plan.steps],
        "notes": [
            *plan.notes,
            *_damaged(plan.inputs),
            *unread_pictures(plan.inputs),
            *unusable(plan.job, plan.inputs),
            *few_files(plan.job, plan.inputs),
            *_taken(plan),
            *_lacking(plan),
            *_unexpected(plan.job, total),
            *_joined(plan.job),
            *_not_fetched(plan.job),
        ],
    }


def _input(plan: Plan, name: str) -> dict[str, Any]:
    files = [file for file in plan.inputs if file.entry == name]
    kinds = sorted({file.kind for file in files})
    return {
        "name": name,
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "samples": _counted(plan, name, len(files)) or rows_of(files),
        "format": " and ".join(map(word, kinds)),
        "columns": _columns(readable(files)),
    }


def _refuse_clusters(job: Job, samples: int) -> None:
    """Say before anything is embedded what the step itself would say once it begins."""
    for config in job.steps:
        if not isinstance(config, Clustered) or config.centroids is not None:
            continue
        clusters = config.clusters
        if isinstance(clusters, int) and clusters > samples:
            raise JobError(
                f"{config.name}: {clusters:,} clusters, but the input has only {samples:,} samples: set `clusters` to "
                f"at most {samples:,}"
            )


def _first(files: Sequence[InputFile], count: int) -> Iterator[InputFile]:
    """The first files of each format."""
    met: Counter[str] = Counter()
    for file in files:
        met[file.kind] += 1
        if met[file.kind] <= count:
            yield file


def _columns(files: Iterable[InputFile]) -> dict[str, str]:
    """Field of a sample -> the column that ingest takes for it, in the first file that has any."""
    taken = [outline(file).taken for file in files]  # all of them: one that cannot be read raises
    return dict(next(filter(None, taken), {}))


def _counted(plan: Plan, entry: str, files: int) -> int | None:
    """The samples that an earlier run in the same directory has counted; None where it has not met all files."""
    known = plan_files.read(plan.root)
    if known is None:
        return None
    numbers = [number for number, file in enumerate(known.inputs()) if file.entry == entry]
    if len(numbers) != files:
        return None
    return int(known.parts.rows[np.isin(known.parts.file, numbers)].sum())


def _damaged(files: Sequence[InputFile]) -> Iterator[str]:
    """The files, of the first few, that cannot be opened: each will be one row of the ledger; and those that lack what
    others of their format have.
    """
    for file in _first(files, FOOTERS):
        told = outline(file)
        if told.damage is not None:
            why = told.damage[:200]
            yield f"{file.source} cannot be read ({why}): it is one dropped row of the ledger"
        if told.refused is not None:
            yield f"{told.refused}: without that all its samples are dropped rows of the ledger"


def unread_pictures(files: Sequence[InputFile]) -> Iterator[str]:
    """The columns that name picture files, of inputs whose job does not say that they are pictures."""
    for file in readable(files):
        if outline(file).pictures is False:
            named = picture_paths.among(format_of(file).columns(file))
            if named:
                yield f"{file.source}: {picture_paths.unopened(named[0])}"


def _joined(job: Job) -> Iterator[str]:
    """The steps that take samples of one picture for the same, below an input that makes several of each."""
    several = [entry.name for entry in job.input if entry.captions == "each"]
    for step in job.steps if several else ():
        if step.joins_by_picture:
            yield (
                f"{step.name}: input `{several[0]}` makes a sample of every caption, and this step joins by picture: "
                "it keeps one of each picture's"
            )


def _not_fetched(job: Job) -> Iterator[str]:
    """The encoders whose weights are not on this machine, where the plan was to fetch nothing."""
    for embed in job.embeds:
        if encoders.describe(embed.spec, embed.precision).fingerprint == encoders.NOT_FETCHED:
            yield (
                f"{embed.name}: the weights of {embed.encoder} are not on this machine: `tamis run` fetches them, or "
                "`tamis plan --download` before it"
            )


def _step(step: Step, config: StepModel | None) -> dict[str, Any]:
    settings = config.shown() if config else {}
    if settings.get("as") == settings.pop("name", step.name):
        settings.pop("as")
    return {
        "step": step.name,
        "kind": config.kind if config else "built in",
        "reads": [need.role for need in step.needs()],
        "makes": [made.role for made in step.makes()],
        "settings": settings,
    }


def _taken(plan: Plan) -> Iterator[str]:
    """The signals that are not built in but taken from a column of the input, or made by a file of the job."""
    for config in plan.job.steps:
        if config.computes:
            for entry, sources in origins.find(config, plan.inputs).by_entry.items():
                for name, source in sources.items():
                    if source.column is not None:
                        yield f"{config.name}: {name} is the column {source.column} of `{entry}`"
                    elif source.head is not None:
                        yield f"{config.name}: {name} is the head {storage.redact(source.head)}"
                    elif source.plugin is not None:
                        yield f"{config.name}: {name} is a function of {source.plugin}"
                    elif source.words is not None:
                        yield f"{config.name}: {name} counts the list {storage.redact(source.words)}"


def few_files(job: Job, inputs: Sequence[InputFile]) -> Iterator[str]:
    """What large files in a small number cost: one task reads a file."""
    workers = job.resources.cpus or machine.processors()
    if len(inputs) < workers and sum(file.size for file in inputs) >= FEW_BYTES:
        yield (
            f"ingest: a file is read by one worker, so that {len(inputs)} of {workers} processors have work: the same "
            "samples in more files are read sooner"
        )


def _lacking(plan: Plan) -> Iterator[str]:
    """The columns that signals are taken from, and that some of the first files lack, or have of another type."""
    for config in plan.job.steps:
        if not config.computes:
            continue
        found = origins.find(config, plan.inputs)
        for entry, sources in found.by_entry.items():
            files = [file for file in _first(plan.inputs, FOOTERS) if file.entry == entry]
            for name, source in sources.items():
                lacking = origins.lacking(files, source.column, found.types[name])
                if lacking:
                    more = f" and {len(lacking) - 3:,} more" if len(lacking) > 3 else ""
                    yield (
                        f"{config.name}: no column {source.column} of the type {found.types[name]}, and so no value of "
                        f"{name}, in {', '.join(file.source for file in lacking[:3])}{more}"
                    )


def _unexpected(job: Job, total: int | None) -> Iterator[str]:
    """Notes of each step about its own settings."""

    def width(embedding: str | None) -> int | None:
        embed = next(embed for embed in job.embeds if embedding in (None, embed.makes_embedding))
        return encoders.describe(embed.spec, embed.precision).dim

    yield from claims.idle_gpus(job)
    for config in job.steps:
        yield from (f"{config.name}: {note}" for note in config.notes(total, width))
