"""What ``plan`` shows of a job before anything runs: its inputs, which columns are taken, its steps, its concepts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow.parquet as pq

from tamis.pipeline import encoders
from tamis.pipeline.algorithms.clusters import kmeans, semantic
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.parquet import BROKEN, find_columns, open_parquet
from tamis.pipeline.inputs.part_builder import IngestOptions
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.runs.state import read
from tamis.pipeline.signals import signal_sources
from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.steps.selectors.config import Chooser
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.step import Step
from tamis.schemas.job import Job
from tamis.schemas.step import StepModel

FOOTERS = 64
"""Parquet files of an entry that are opened to count samples; with more of them only ingest counts."""


def preview(plan: Plan) -> dict[str, Any]:
    """Plain values: ``inputs``, ``samples``, ``steps``, ``notes``.

    Raises:
        InputError: a parquet file lacks a column that every job needs, or cannot be read.
    """
    inputs = [_input(plan, entry.name) for entry in plan.job.input]
    counts = [entry["samples"] for entry in inputs]
    total = None if None in counts else sum(counts)
    configs = {config.name: config for config in plan.job.steps}
    return {
        "job": plan.job.name,
        "output": storage.redact(plan.root),
        "inputs": inputs,
        "samples": total,
        "steps": [_step(step, configs.get(step.name)) for step in plan.steps],
        "notes": [*_damaged(plan.inputs), *_taken(plan), *_choices(plan.job, total)],
    }


def _input(plan: Plan, name: str) -> dict[str, Any]:
    files = [file for file in plan.inputs if file.entry == name]
    kinds = sorted({file.kind for file in files})
    return {
        "name": name,
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "samples": _counted(plan, name, len(files)) or _in_footers(files),
        "format": " and ".join("webdataset" if kind == "tar" else kind for kind in kinds),
        "columns": _columns(next((file for file in files if file.kind == "parquet"), None)),
    }


def _columns(file: InputFile | None) -> dict[str, str]:
    """What ingest looks for in parquet files -> the column of the first file that it takes for it."""
    if file is None:
        return {}
    parquet = _opened(file)
    if parquet is None:
        return {}
    with parquet:
        found = asdict(find_columns(parquet.schema_arrow, IngestOptions(), file.path))
    return {wanted: column for wanted, column in found.items() if isinstance(column, str)}


def _counted(plan: Plan, entry: str, files: int) -> int | None:
    """The samples that an earlier run in the same directory has counted; None where it has not met all files."""
    path = storage.join(plan.root, "plan.json")
    if not storage.exists(path):
        return None
    state = read(path)
    numbers = {n for n, file in enumerate(state["inputs"]) if file["entry"] == entry}
    if len(numbers) != files:
        return None
    return sum(int(rows) for file, _, rows in state["parts"] if file in numbers)


def _in_footers(files: Sequence[InputFile]) -> int | None:
    """The samples of few parquet files; None where only ingest can count them."""
    if len(files) > FOOTERS or any(file.kind != "parquet" for file in files):
        return None
    total = 0
    for file in files:
        parquet = _opened(file)
        if parquet is None:
            return None
        with parquet:
            total += int(parquet.metadata.num_rows)
    return total


def _opened(file: InputFile) -> pq.ParquetFile | None:
    try:
        return open_parquet(file.path)
    except BROKEN:
        return None


def _damaged(files: Sequence[InputFile]) -> Iterator[str]:
    """The parquet files, of the first few, that cannot be read: each will be one row of the ledger."""
    for file in [file for file in files if file.kind == "parquet"][:FOOTERS]:
        try:
            open_parquet(file.path).close()
        except BROKEN as error:
            why = " ".join(str(error).split())[:200]
            yield f"{file.source} cannot be read ({why}): it is one dropped row of the ledger"


def _step(step: Step, config: StepModel | None) -> dict[str, Any]:
    settings = config.model_dump(mode="json", by_alias=True, exclude_unset=True) if config else {}
    if settings.get("as") == settings.pop("name", step.name):
        settings.pop("as")
    return {
        "step": step.name,
        "kind": config.kind if config else "built in",
        "reads": list(step.needs()),
        "makes": list(step.makes()),
        "settings": settings,
    }


def _taken(plan: Plan) -> Iterator[str]:
    """The signals that are not computed but taken from a column of the input, or from a head."""
    for config in plan.job.steps:
        if config.computes:
            for entry, sources in signal_sources.find(config, plan.inputs).of.items():
                for name, source in sources.items():
                    if source.column is not None:
                        yield f"{config.name}: {name} is the column {source.column} of `{entry}`"
                    elif source.head is not None:
                        yield f"{config.name}: {name} is the head {storage.redact(source.head)}"


def _choices(job: Job, total: int | None) -> Iterator[str]:
    """What a person might not expect: the concepts that ``auto`` stands for, and a count of 1."""
    for config in job.steps:
        name = config.name
        if isinstance(config, Clustered) and config.clusters == "auto":
            yield f"{name}: {_concepts(job, config, total)}"
        if isinstance(config, Chooser) and isinstance(config.keep, int) and config.keep == 1:
            yield f"{name}: keep: 1 is a count of one sample; all of them is 1.0"


def _concepts(job: Job, config: Clustered, total: int | None) -> str:
    if total is None:
        return "clusters: auto is chosen once ingest has counted the samples"
    choices = [_auto(job, config, max(1, samples)) for samples in (total, total // 2)]
    if None in choices:
        return "clusters: auto is chosen once the embeddings' dimension is known"
    return (
        f"clusters: auto is {choices[0]} if all {total:,} samples reach it, "
        f"{choices[1]} if half of them do"
    )


def _auto(job: Job, config: Clustered, samples: int) -> str | None:
    """How many, and where the cost decides what it comes to."""
    if not config.compares_members:
        return f"{kmeans.auto_clusters(samples):,}"
    named = [embed for embed in job.embeds if config.embedding in (None, embed.as_)]
    dim = encoders.describe(named[0].encoder, named[0].precision).dim
    if dim is None:
        return None
    chosen = semantic.auto_clusters(samples, dim)
    tera = [f"{cost / 1e12:,.3g}" for cost in (chosen.train, chosen.assign, chosen.compare)]
    return (
        f"{chosen.clusters:,} ({tera[0]} TFLOP to train, {tera[1]} to assign, {tera[2]} to compare)"
    )
