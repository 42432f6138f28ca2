"""Test pairs from another finished run, or from input files, which are embedded as the run's are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from tamis.pipeline.audit.reading.finished_run import FinishedRun, open_run
from tamis.pipeline.evaluate.pairs import embedding_of
from tamis.pipeline.runs import plan
from tamis.pipeline.runs import walk as running
from tamis.pipeline.runs.state import EVALUATION
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.errors import JobError
from tamis.schemas.job import Input, Job
from tamis.schemas.layout import MANIFEST
from tamis.schemas.step import StepModel


def open_holdout(
    run: FinishedRun, path: str, option: str = "--holdout", also: Sequence[str] = ()
) -> FinishedRun:
    """The run at ``path``, embedded as ``run`` is; input files there are embedded first, in this process.

    ``option`` is named in messages; ``also`` are further `embed` steps of ``run``, which are done too.

    Files are embedded once: their run stays below the run directory, and the same call takes it up again.

    Raises:
        JobError: embedded otherwise, or input files of a run whose embeddings came with its input.
        TamisError: nothing can be read at ``path``.
    """
    embed = embedding_of(run)
    steps = (embed, *_named(run, also))
    if storage.exists(storage.join(storage.absolute(path), MANIFEST)):
        other = open_run(path)
        _check_alike(embed, embedding_of(other), f"{option} {path}")
        for ours in steps[1:]:
            for theirs in _named(other, [ours.name]):
                _check_alike(ours, theirs, f"{option} {path}")
        return other
    if any(step.takes_embeddings for step in steps):
        raise JobError(
            f"{option} {path}: the run's embeddings came with its input; make a run of these files with theirs, "
            "and name its directory"
        )
    whole = storage.absolute(path)
    named = "\n".join([whole, *(step.name for step in steps[1:])])
    name = hashlib.sha256(named.encode()).hexdigest()[:12]
    job = Job(
        name="holdout",
        input=(Input(path=(whole,), name="holdout"),),
        output=storage.join(run.root, EVALUATION, f"holdout-{name}"),
        steps=steps,
    )
    made = plan.make(job, accept_changed=True)  # they are another's: changed ones are embedded anew
    running.run(made, executor=Here(made.root))
    return open_run(made.root)


def _named(run: FinishedRun, names: Sequence[str]) -> list[Any]:
    """The run's `embed` steps of some names."""
    return [s for name in names for s in run.steps if s.name == name and s.makes_embedding]


def _check_alike(own: StepModel, other: StepModel, shown: str) -> None:
    for what in ("encoder", "precision"):
        ours, theirs = getattr(own, what), getattr(other, what)
        if ours != theirs:
            raise JobError(
                f"{shown}: was embedded with {what} {theirs}, the run with {ours}: use the same"
            )
