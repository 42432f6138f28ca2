"""The claims of tasks on a node; the job's settings go before a step's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks.phase import Phase
from tamis.schemas.errors import ClusterError
from tamis.schemas.job import Job
from tamis.schemas.resources import Claimed, Resources


@dataclass(frozen=True)
class Claim:
    """The largest claim of one task of a step, which one node must meet. Memory in bytes, 0 for none."""

    step: str
    cpus: float
    gpus: float
    memory: int

    def __str__(self) -> str:
        amounts = [f"{self.cpus:g} CPU"] if self.cpus else []
        amounts += [f"{self.gpus:g} GPU"] if self.gpus else []
        amounts += [f"{self.memory:,} bytes"] if self.memory else []
        return ", ".join(amounts)


def of_phase(phase: Phase[Any], step: str, job: Job) -> Claimed:
    """The claim of each task of a phase, with the job's settings for the step."""
    machine = job.resources
    settings = (machine.steps or {}).get(step)
    changes = settings.model_dump(exclude_none=True) if settings else {}
    if not phase.resources.gpus and _own(job, step).gpus:
        changes.pop("gpus", None)  # only other phases of the step work on the GPU
    if machine.memory and phase.tasks.scope.gathers:
        changes.setdefault("memory", machine.memory)
    return replace(phase.resources, **changes)


def _own(job: Job, step: str) -> Claimed:
    """A step's own claim; the default for a built-in step."""
    return next(
        (config.claim(job.resources) for config in job.steps if config.name == step), Claimed()
    )


def of_job(job: Job) -> Iterator[Claim]:
    """The claims of each step's tasks, to compare with nodes before anything runs."""
    machine = job.resources
    for name in ("ingest", *(step.name for step in job.steps), "ledger"):
        own = _own(job, name)
        settings = (machine.steps or {}).get(name)
        own = replace(own, **settings.model_dump(exclude_none=True)) if settings else own
        yield Claim(name, own.cpus, own.gpus, own.memory or 0)
    if machine.memory:
        yield Claim("a task that gathers many parts", 1, 0, machine.memory)


def idle_gpus(job: Job) -> Iterator[str]:
    """A sentence about each step whose workers hold a GPU because the job says so, and compute on processors."""
    for config in job.steps:
        held = config.claim(job.resources).gpus
        if held and not config.claim(Resources()).gpus:
            yield (
                f"{config.name}: a task holds {held:g} GPU (resources.gpus), and computes on processors: --set "
                f"{config.name}.device=cuda, or leave resources.gpus out"
            )


def pending_gpu_claims(job: Job, root: str) -> list[Claim]:
    """The GPU claims of steps that have no tables in the run directory ``root`` yet.

    A run can be resumed without a GPU once the steps that need one have begun to write.
    """
    begun = storage.folders_in(storage.join(root, paths.TABLES))
    return [claim for claim in of_job(job) if claim.gpus and claim.step not in begun]


def exceeds_one_cpu(claim: Claimed) -> bool:
    """Whether a task claims more than the one processor that every Ray cluster has or gets."""
    return claim.cpus > 1 or claim.gpus > 0 or claim.memory is not None


def fitting(claim: Claimed, nodes: Sequence[Mapping[str, float]], grows: bool) -> int:
    """Number of such tasks that the nodes carry at once; ``nodes`` are Ray's resources of each.

    0 only where the Ray cluster ``grows``: a node for them is yet to be added.

    Raises:
        ClusterError: no node can carry one, so that the task would wait for ever.
    """
    claims = {"CPU": claim.cpus, "GPU": claim.gpus, "memory": claim.memory or 0}
    amounts = {name: amount for name, amount in claims.items() if amount}
    if not amounts:
        raise ClusterError(
            "a worker claims no processor and no GPU, so that any number would fit: with `decode_tasks` it has to "
            "hold a GPU, or a part of one (resources.gpus)"
        )
    fits = sum(
        int(min(node.get(name, 0) / amount for name, amount in amounts.items())) for node in nodes
    )
    if fits or grows:
        return fits
    claim_text = ", ".join(f"{amount:g} {name}" for name, amount in amounts.items())
    nodes_text = "; ".join(
        ", ".join(f"{node.get(name, 0):g} {name}" for name in amounts) for node in nodes[:5]
    )
    no_gpu = claim.gpus and not any(node.get("GPU") for node in nodes)
    cpu = "set device: cpu, " if no_gpu else ""
    raise ClusterError(
        f"a worker claims {claim_text}, and no node has that ({nodes_text}): {cpu}change the "
        "job's resources, or say resources.grows where the cluster adds nodes as they are asked for"
    )
