"""The needs of a job, and whether a cluster meets them. Pure: ``jobs/cluster/submit.py`` asks, this judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tamis.jobs.job_paths import places
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.claims import Claim, of_job
from tamis.schemas.errors import ClusterError
from tamis.schemas.job import Job

MODULES = (
    "braceexpand",
    "faiss",
    "fsspec",
    "numpy",
    "PIL",
    "pyarrow",
    "pydantic",
    "rich",
    "ruamel.yaml",
    "scipy",
    "typer",
    "xxhash",
)
"""Modules that every job imports."""

STORES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs"}


@dataclass(frozen=True)
class Needs:
    """Claims of single tasks; ``read`` and ``write`` are paths to be tried from the cluster."""

    claims: Sequence[Claim] = ()
    modules: Sequence[str] = MODULES
    read: Sequence[str] = ()
    write: Sequence[str] = ()
    grows: bool = False  # nodes that are missing now may be added by an autoscaler


@dataclass(frozen=True)
class Found:
    """A cluster's answer; empty fields were not asked for yet."""

    ray: str
    python: str = ""
    nodes: Sequence[Mapping[str, float]] = ()
    missing: Sequence[str] = ()
    unreadable: Mapping[str, str | None] = field(default_factory=dict)
    unwritable: Mapping[str, str | None] = field(default_factory=dict)
    unshared: Mapping[str, str] = field(default_factory=dict)  # path: a node that does not see it


def needs_of(plan: Plan, *, installed: bool, grows: bool) -> Needs:
    """The claims, modules and paths of a plan."""
    job = plan.job
    first = {file.entry: file.path for file in reversed(plan.inputs)}
    paths = [*first.values(), plan.root]
    schemes = {path.partition("://")[0] for path in paths if "://" in path}
    modules = [*MODULES, *(STORES[scheme] for scheme in sorted(schemes & STORES.keys()))]
    for step in job.steps:
        modules += step.modules
    return Needs(
        claims=list(of_job(job)),
        modules=[*dict.fromkeys([*modules, *(("pipeline",) if installed else ())])],
        read=[*first.values(), *beside(job)],
        write=[plan.root],
        grows=grows or job.resources.grows,
    )


def beside(job: Job) -> list[str]:
    """Files that a job reads besides its input: weights, heads, targets, other runs. No patterns and no folders."""
    known = {job.output, *(path for entry in job.input for path in entry.path)}
    paths = [path for path in places(job) if path not in known]
    return [path for path in paths if storage.is_file(path)]


def _release(version: str) -> list[str]:
    return version.split(".")[:2]


def judge(found: Found, needs: Needs, ray: str, python: str) -> None:
    """Compare, the cheapest first. ``ray`` and ``python`` are the versions here.

    Raises:
        ClusterError: the first thing that does not fit: what is there, what is needed, how to mend it.
    """
    for name, here, there in (("Ray", ray, found.ray), ("Python", python, found.python)):
        if there and _release(here) != _release(there):
            raise ClusterError(
                f"the cluster has {name} {there}, and here it is {here}: install "
                f"{name} {'.'.join(_release(there))} here, or use the image of deploy/ there"
            )
    if found.missing:
        mend = "use the image of deploy/ there"
        if set(found.missing) & (set(STORES.values()) - {"s3fs"}):  # which the image lacks too
            mend = "install what is missing on its nodes, or in their image"
        raise ClusterError(f"the cluster's Python lacks {', '.join(found.missing)}: {mend}")
    for what, tried in (("read", found.unreadable), ("write to", found.unwritable)):
        for path, why in tried.items():
            if why:
                raise ClusterError(
                    f"the cluster cannot {what} `{storage.redact(path)}`: {why}: give its nodes the "
                    "right (a role, or --env), or name another place"
                )
    for path, node in found.unshared.items():
        raise ClusterError(
            f"`{path}` lies on a disk that the cluster's node {node} does not see: name a place that all nodes share: "
            "a URL such as s3://bucket/..., or a network file system"
        )
    if found.nodes and not needs.grows:
        _judge_nodes(found.nodes, needs)


def _judge_nodes(nodes: Sequence[Mapping[str, float]], needs: Needs) -> None:
    for claim in needs.claims:
        wanted = {"CPU": claim.cpus, "GPU": claim.gpus, "memory": claim.memory}
        if not any(all(node[name] >= wanted[name] for name in wanted) for node in nodes):
            other = "set device: cpu, " if claim.gpus and not any(n["GPU"] for n in nodes) else ""
            most = {name: max(node[name] for node in nodes) for name in wanted}
            raise ClusterError(
                f"{claim.step}: a task claims {claim}, and none of the cluster's {len(nodes)} nodes has that "
                f"(the most: {most['CPU']:g} CPU, {most['GPU']:g} GPU, {most['memory']:,.0f} bytes): {other}add "
                "nodes, lower the job's resources, or say --grows where nodes are added as needed"
            )
