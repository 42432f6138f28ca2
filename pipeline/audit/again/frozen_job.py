"""A finished run's job with other settings, its centroids frozen: what ``whatif`` and ``materialize`` decide."""

from __future__ import annotations

from collections.abc import Sequence

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks.stored_job import read_job
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.step import StepModel


def job_of(run: FinishedRun, settings: Sequence[str] = ()) -> Job:
    """The run's job, with ``settings``, every clustering step with the run's own centroids.

    Raises:
        StateError: the run keeps no ``job.yaml``, or ``tables/`` has been cleared.
        JobError: a setting that does not fit, or asks for other concepts.
    """
    run.need_tables()
    own = read_job(run.root)
    job = read_job(run.root, settings) if settings else own
    asked = {step.name: step for step in job.steps if step.training}
    for step in own.steps:
        if step.name in asked:
            _refuse_other_concepts(step, asked[step.name], run.root)
    return frozen(job, run.root)


def _refuse_other_concepts(own: StepModel, asked: StepModel, root: str) -> None:
    for name in own.training:
        if getattr(own, name) != getattr(asked, name):
            raise JobError(
                f"--set {own.name}.{name}={getattr(asked, name)}: asks for other concepts than those of {root}, "
                "which are kept here: run the job with that setting instead"
            )


def frozen(job: Job, root: str) -> Job:
    """``job`` with the centroids of the run at ``root`` in every step that clusters and that the run has too."""
    steps = tuple(
        step.with_centroids(f"{root}#{step.name}")
        if step.training and _has_centroids(root, step.name)
        else step
        for step in job.steps
    )
    return job.model_copy(update={"steps": steps})


def borrowing(job: Job, root: str) -> Job:
    """``job`` with the centroids of the run at ``root`` in every step that clusters: ``tamis run --centroids``.

    Raises:
        JobError: no step clusters, or the run has no centroids of one that does. (Planning refuses another number.)
    """
    clustering = [step for step in job.steps if step.training]
    shown = f"--centroids {storage.redact(root)}"
    if not clustering:
        raise JobError(f"{shown}: no step of the job clusters: leave it out")
    for step in clustering:
        if not _has_centroids(root, step.name):
            raise JobError(
                f"{shown}: that run has no centroids of a step `{step.name}`: "
                f"say --set {step.name}.centroids=RUN#STEP for each step instead"
            )
    return frozen(job, root)


def _has_centroids(root: str, step: str) -> bool:
    return storage.exists(storage.join(root, paths.table(step, "train", "centroids")))
