"""``tamis deploy``."""

from __future__ import annotations

import re
from importlib.metadata import version

import typer

from tamis.jobs.cluster.manifests import SHARED_MEMORY, Fleet, check_image, manifests
from tamis.jobs.job_files.load import Request, load
from tamis.jobs.job_files.paths import paths_of, secret_warning
from tamis.jobs.terminal import display
from tamis.pipeline.runs.plan import build
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.claims import idle_gpus, of_job
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.parse import dump

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

LEAST_MEMORY = 6 << 30
"""Least bytes of a node's memory."""

CONFIG_MAP = 1 << 20
"""Most bytes of a ConfigMap of Kubernetes."""

OBJECT_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def print_manifests(request: Request, fleet: Fleet) -> None:
    """Print a job's manifests for KubeRay.

    Raises:
        JobError: the nodes have too little for the job, or one of its paths lies on this machine's disk.
    """
    job = load(request)
    build(job)  # a step that cannot be made fails here, not in a pod
    check_fleet(fleet)
    check(job, fleet)
    if warning := secret_warning(job, "the ConfigMap", "--secret"):
        display.echo(warning, err=True)
    typer.echo(manifests(job, fleet, version("ray")), nl=False)


def check_fleet(fleet: Fleet) -> None:
    """Refuse nodes that Kubernetes would refuse, or that are too small for Ray.

    Raises:
        JobError: a bad name or quantity, or too little memory.
    """
    check_image(fleet.image)
    if memory_of(fleet.memory) < LEAST_MEMORY:
        raise JobError(
            f"--memory {fleet.memory}: at least {LEAST_MEMORY >> 30}Gi a node: of which Ray shares {SHARED_MEMORY}"
        )
    for option, name in (("--secret", fleet.secret), ("--service-account", fleet.account)):
        if name is not None and not OBJECT_NAME.fullmatch(name):
            raise JobError(
                f"{option} '{name}': no name of Kubernetes: lower case letters, digits, `-` and `.`"
            )


def memory_of(text: str) -> float:
    """Bytes of a quantity as Kubernetes writes it.

    Raises:
        JobError: no such quantity.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", text)
    if not match or match[2] not in UNITS:
        raise JobError(f"--memory {text}: no quantity of Kubernetes: it looks like 32Gi")
    return float(match[1]) * UNITS[match[2]]


def check(job: Job, fleet: Fleet) -> None:
    """Refuse a job that needs a shared disk, a larger ConfigMap, or larger nodes.

    Raises:
        JobError: the first need that the fleet does not meet.
    """
    for path in paths_of(job):
        if storage.is_local(path):
            raise JobError(
                f"{job.name}: `{path}` lies on a disk, which pods do not share: give a URL, such as "
                "s3://bucket/... (--input, --output, --set STEP.KEY=URL)"
            )
    size = len(dump(job).encode())
    if size > CONFIG_MAP * 0.9:
        raise JobError(
            f"{job.name}: the job's text has {size:,} bytes, and a ConfigMap holds {CONFIG_MAP:,}: name the input by "
            "ranges and globs"
        )
    gpus = fleet.gpus if fleet.gpu_workers else 0
    idle = next(idle_gpus(job), None)
    if idle is not None and gpus:
        raise JobError(f"{job.name}: {idle}")
    if gpus and not any(claim.gpus for claim in of_job(job)):
        embed = next((f"--set {step.name}.device=cuda" for step in job.embeds), "device: cuda")
        raise JobError(
            f"{job.name}: --gpu-workers {fleet.gpu_workers}: no step works on a GPU: say {embed}, or leave "
            "--gpu-workers out"
        )
    for claim in of_job(job):
        if claim.gpus and not gpus:
            raise JobError(
                f"{job.name}: {claim.step}: a task holds {claim.gpus:g} GPU: add --gpu-workers N"
            )
        if claim.gpus > gpus or claim.cpus > fleet.cpus or claim.memory > memory_of(fleet.memory):
            raise JobError(
                f"{job.name}: {claim.step}: a task claims {claim}, a node has {fleet.cpus} CPU, {gpus} GPU, "
                f"{fleet.memory}: say --cpus, --gpus or --memory, or lower the job's resources"
            )
