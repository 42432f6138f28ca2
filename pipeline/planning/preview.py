"""What ``plan`` shows of a job before anything runs: its inputs, which columns are taken, its steps, its concepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tamis.pipeline import encoders
from tamis.pipeline.algorithms.clusters import kmeans, semantic
from tamis.pipeline.inputs.formats import FOOTERS, outline, rows_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.runs.state import read
from tamis.pipeline.signals import origins
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.step import Step
from tamis.schemas.formats import word
from tamis.schemas.job import Job
from tamis.schemas.steps import Chooser, Clustered, SemanticDuplicates, Signals, StepModel


def preview(plan: Plan) -> dict[str, Any]:
    """Plain values: ``inputs``, ``samples``, ``steps``, ``notes``.

    Raises:
        InputError: a file lacks a column that every job needs, or cannot be read.
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
        "samples": _counted(plan, name, len(files)) or rows_of(files),
        "format": " and ".join(map(word, kinds)),
        "columns": _columns(_first(files, 1)),
    }


def _first(files: Sequence[InputFile], count: int) -> Iterator[InputFile]:
    """The first files of each format."""
    met: Counter[str] = Counter()
    for file in files:
        met[file.kind] += 1
        if met[file.kind] <= count:
            yield file


def _columns(files: Iterable[InputFile]) -> dict[str, str]:
    """What ingest looks for -> the column that it takes for it, in the first file that tells."""
    taken = (outline(file).accepted().taken for file in files)
    return dict(next(filter(None, taken), {}))


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


def _damaged(files: Sequence[InputFile]) -> Iterator[str]:
    """The files, of the first few, that cannot be opened: each will be one row of the ledger."""
    for file in _first(files, FOOTERS):
        why = outline(file).damage
        if why is not None:
            yield f"{file.source} cannot be read ({why[:200]}): it is one dropped row of the ledger"


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
        if isinstance(config, Signals):
            for entry, sources in origins.find(config, plan.inputs).by_entry.items():
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
    if not isinstance(config, SemanticDuplicates):
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
