"""``tamis deploy``."""

from __future__ import annotations

from importlib.metadata import version

import typer

from jobs.loading import Request, load
from jobs.manifests import Fleet, manifests
from pipeline import storage
from pipeline.plan import build
from schemas.errors import JobError
from schemas.job import Job


def print_manifests(request: Request, fleet: Fleet) -> None:
    """A job's manifests for KubeRay, on standard output.

    Raises:
        JobError: the job needs what these nodes do not have, or lies on this machine's disk.
    """
    job = load(request)
    build(job)  # a step that cannot be made is told here, not by a pod
    check(job, fleet)
    typer.echo(manifests(job, fleet, version("ray")), nl=False)


def check(job: Job, fleet: Fleet) -> None:
    """Pods share no disk, and have the GPUs that they are given.

    Raises:
        JobError: one line.
    """
    paths = [*(path for entry in job.input for path in entry.path), job.output]
    for path in paths:
        if storage.is_local(path):
            raise JobError(
                f"{job.name}: `{path}` lies on a disk, which pods do not share: give a URL, such as "
                "s3://bucket/..., by --input and --output"
            )
    wanted = job.resources.gpus or float(any(embed.device == "cuda" for embed in job.embeds))
    if wanted and not fleet.gpu_workers:
        raise JobError(f"{job.name}: an embedding worker holds {wanted:g} GPU: add --gpu-workers N")
    if wanted > fleet.gpus:
        raise JobError(
            f"{job.name}: an embedding worker holds {wanted:g} GPUs, a node has {fleet.gpus}: "
            "say --gpus, or lower resources.gpus"
        )
