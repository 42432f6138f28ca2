"""What tasks claim of a node: the job's word goes before a step's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks.task import Phase
from tamis.schemas.errors import ClusterError
from tamis.schemas.job import Job
from tamis.schemas.resources import Claimed


@dataclass(frozen=True)
class Claim:
    """The most that one task of a step claims; none lies on two nodes. Memory in bytes, 0 where nothing is said."""

    step: str
    cpus: float
    gpus: float
    memory: int

    def __str__(self) -> str:
        said = [f"{self.cpus:g} CPU"] if self.cpus else []
        said += [f"{self.gpus:g} GPU"] if self.gpus else []
        said += [f"{self.memory:,} bytes"] if self.memory else []
        return ", ".join(said)


def of_phase(phase: Phase[Any], step: str, job: Job) -> Claimed:
    """What each task of a phase claims in the end."""
    machine = job.resources
    said = (machine.steps or {}).get(step)
    changed = said.model_dump(exclude_none=True) if said else {}
    if not phase.resources.gpus and _own(job, step).gpus:
        changed.pop("gpus", None)  # this phase does nothing on the GPU, others of the step do
    if machine.memory and any(task.scope.gathers for task in phase.tasks):
        changed.setdefault("memory", machine.memory)
    return replace(phase.resources, **changed)


def _own(job: Job, step: str) -> Claimed:
    """What a step says of itself; the built-in ones say nothing."""
    return next(
        (config.claim(job.resources) for config in job.steps if config.name == step), Claimed()
    )


def of_job(job: Job) -> Iterator[Claim]:
    """What the tasks of each step will claim, so that it can be compared with nodes before anything runs."""
    machine = job.resources
    for name in ("ingest", *(step.name for step in job.steps), "ledger"):
        own = _own(job, name)
        said = (machine.steps or {}).get(name)
        own = replace(own, **said.model_dump(exclude_none=True)) if said else own
        yield Claim(name, own.cpus, own.gpus, own.memory or 0)
    if machine.memory:
        yield Claim("what gathers many parts", 1, 0, machine.memory)


def to_come(job: Job, root: str) -> list[Claim]:
    """The claims on a GPU of steps of which the run directory ``root`` has nothing yet.

    A job that is begun may go on without: what worked on a GPU may be through.
    """
    begun = storage.folders_in(storage.join(root, paths.TABLES))
    return [claim for claim in of_job(job) if claim.gpus and claim.step not in begun]


def more_than_usual(claimed: Claimed) -> bool:
    """Whether a task wants more than one processor, which a cluster always has or gets."""
    return claimed.cpus > 1 or claimed.gpus > 0 or claimed.memory is not None


def fitting(claimed: Claimed, nodes: Sequence[Mapping[str, float]], grows: bool) -> int:
    """How many such tasks the nodes (Ray's resources of each) carry at once.

    0 only where the cluster ``grows``: then a node for them is still to come.

    Raises:
        ClusterError: no node can carry one, so that it would be waited for without end.
    """
    wanted = {"CPU": claimed.cpus, "GPU": claimed.gpus, "memory": claimed.memory or 0}
    asked = {name: claim for name, claim in wanted.items() if claim}
    if not asked:
        raise ClusterError(
            "a worker claims no processor and no GPU, so that any number would fit: with `decode_tasks` it has to "
            "hold a GPU, or a part of one (resources.gpus)"
        )
    fits = sum(
        int(min(node.get(name, 0) / claim for name, claim in asked.items())) for node in nodes
    )
    if fits or grows:
        return fits
    said = ", ".join(f"{claim:g} {name}" for name, claim in asked.items())
    there = "; ".join(
        ", ".join(f"{node.get(name, 0):g} {name}" for name in asked) for node in nodes[:5]
    )
    bare = claimed.gpus and not any(node.get("GPU") for node in nodes)
    raise ClusterError(
        f"a worker claims {said}, and no node has that ({there}): {'set device: cpu, ' if bare else ''}change the "
        "job's resources, or say resources.grows where the cluster adds nodes as they are asked for"
    )
