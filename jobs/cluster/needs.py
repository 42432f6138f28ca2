"""The needs of a job, compared with a Ray cluster's answer to the probe. ``jobs/cluster/submit.py`` asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tamis.jobs.job_files.paths import paths_of
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
    "simplejpeg",
    "typer",
    "xxhash",
    "zlib_ng",
)
"""Packages that every job imports."""

STORES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs"}


@dataclass(frozen=True)
class Needs:
    """The claims of single tasks, modules to import, and paths that the Ray cluster must ``read`` and ``write``."""

    claims: Sequence[Claim] = ()
    modules: Sequence[str] = MODULES
    read: Sequence[str] = ()
    write: Sequence[str] = ()
    grows: bool = False  # an autoscaler may add nodes


@dataclass(frozen=True)
class ProbeAnswer:
    """A Ray cluster's answer to the probe; a field that was not asked for is empty."""

    ray: str
    python: str = ""
    nodes: Sequence[Mapping[str, float]] = ()
    missing: Sequence[str] = ()
    unreadable: Mapping[str, str | None] = field(default_factory=dict)
    unwritable: Mapping[str, str | None] = field(default_factory=dict)
    unshared: Mapping[str, str] = field(default_factory=dict)  # path: a node without it


def needs_of(plan: Plan, *, installed: bool, grows: bool) -> Needs:
    """The needs of a plan: claims, imports, paths to read and to write."""
    job = plan.job
    first_files = {file.entry: file.path for file in reversed(plan.inputs)}
    paths = [*first_files.values(), plan.root]
    schemes = {path.partition("://")[0] for path in paths if "://" in path}
    modules = [*MODULES, *(STORES[scheme] for scheme in sorted(schemes & STORES.keys()))]
    for step in job.steps:
        modules += step.modules
    return Needs(
        claims=list(of_job(job)),
        modules=[*dict.fromkeys([*modules, *(("tamis",) if installed else ())])],
        read=[*first_files.values(), *other_files(job)],
        write=[plan.root],
        grows=grows or job.resources.grows,
    )


def other_files(job: Job) -> list[str]:
    """Files that a job reads besides its input: weights, heads, targets. Patterns and folders are left out."""
    listed = {job.output, *(path for entry in job.input for path in entry.path)}
    paths = [path for path in paths_of(job) if path not in listed]
    return [path for path in paths if storage.is_file(path)]


def _minor_version(version: str) -> list[str]:
    return version.split(".")[:2]


def judge(answer: ProbeAnswer, needs: Needs, ray: str, python: str) -> None:
    """Compare an answer with the needs. ``ray`` and ``python`` are the versions here.

    Raises:
        ClusterError: the first need that is not met, with both values and the mend.
    """
    for name, here, there in (("Ray", ray, answer.ray), ("Python", python, answer.python)):
        if there and _minor_version(here) != _minor_version(there):
            raise ClusterError(
                f"the cluster has {name} {there}, and here it is {here}: install "
                f"{name} {'.'.join(_minor_version(there))} here, or use the image of deploy/ there"
            )
    if answer.missing:
        mend = "use the image of deploy/ there"
        if set(answer.missing) & (set(STORES.values()) - {"s3fs"}):  # the image has s3fs alone
            mend = "install what is missing on its nodes, or in their image"
        raise ClusterError(f"the cluster's Python lacks {', '.join(answer.missing)}: {mend}")
    for verb, errors in (("read", answer.unreadable), ("write to", answer.unwritable)):
        for path, error in errors.items():
            if error:
                raise ClusterError(
                    f"the cluster cannot {verb} `{storage.redact(path)}`: {error}: give its nodes the "
                    "right (a role, or --env), or name another place"
                )
    for path, node in answer.unshared.items():
        raise ClusterError(
            f"`{path}` lies on a disk that the cluster's node {node} does not see: name a place that all nodes share: "
            "a URL such as s3://bucket/..., or a network file system"
        )
    if answer.nodes and not needs.grows:
        _judge_nodes(answer.nodes, needs)


def _judge_nodes(nodes: Sequence[Mapping[str, float]], needs: Needs) -> None:
    for claim in needs.claims:
        claimed = {"CPU": claim.cpus, "GPU": claim.gpus, "memory": claim.memory}
        if not any(all(node[name] >= claimed[name] for name in claimed) for node in nodes):
            other = "set device: cpu, " if claim.gpus and not any(n["GPU"] for n in nodes) else ""
            most = {name: max(node[name] for node in nodes) for name in claimed}
            raise ClusterError(
                f"{claim.step}: a task claims {claim}, and none of the cluster's {len(nodes)} nodes has that "
                f"(the most: {most['CPU']:g} CPU, {most['GPU']:g} GPU, {most['memory']:,.0f} bytes): {other}add "
                "nodes, lower the job's resources, or say --grows where nodes are added as needed"
            )
