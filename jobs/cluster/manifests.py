"""Manifests of a job for KubeRay: a ConfigMap with the job file, and a RayJob that runs it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import LiteralScalarString

from tamis.schemas.errors import ClusterError
from tamis.schemas.job import Job
from tamis.schemas.parse import dump

FOLDER = "/etc/tamis"
SHARED_MEMORY = "4Gi"  # of a node's memory
STORE = {"object-store-memory": str(3 << 30)}
"""Bytes of Ray's object store, which must fit into the shared memory. By default Ray takes 30% of the memory, and a
disk where that is more than is shared.
"""

IMAGE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
"""The name of a container image: registry, repository, tag, digest."""


@dataclass(frozen=True)
class Fleet:
    """The nodes of a Ray cluster. ``memory`` is a quantity of Kubernetes: ``16Gi``."""

    image: str
    workers: int = 4
    cpus: int = 8
    memory: str = "32Gi"
    gpu_workers: int = 0
    gpus: int = 1
    secret: str | None = None
    account: str | None = None


class _Resolver(VersionedResolver):
    processing_version = (1, 1)  # of Kubernetes: a text `on` needs quotes


def manifests(job: Job, fleet: Fleet, ray_version: str) -> str:
    """Both manifests as one YAML stream for ``kubectl apply -f -``."""
    name = _name(job.name)
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        # A literal block, which can be read and edited in the manifest.
        "data": {"job.yaml": LiteralScalarString(dump(with_autoscaling(job)))},
    }
    command = f"tamis run {FOLDER}/job.yaml --address auto --progress lines"
    ray_job = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name},
        "spec": {
            "entrypoint": command,
            # The same command resumes a run that failed.
            "backoffLimit": 3,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 600,
            "rayClusterSpec": ray_cluster(name, fleet, ray_version),
        },
    }
    yaml, out = YAML(), StringIO()
    yaml.Resolver, yaml.width = _Resolver, 100
    yaml.dump_all([config, ray_job], out)
    return out.getvalue()


def ray_cluster(name: str, fleet: Fleet, ray_version: str) -> dict[str, Any]:
    """The Ray cluster's spec: a head that computes nothing, CPU nodes, and GPU nodes where there are any."""
    groups = [_group(name, fleet, "cpu", fleet.workers, 0)]
    if fleet.gpu_workers:
        groups.append(_group(name, fleet, "gpu", fleet.gpu_workers, fleet.gpus))
    head = _template(name, fleet, {"cpu": "2", "memory": "8Gi"})
    return {
        "rayVersion": ray_version,
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"idleTimeoutSeconds": 120},
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0", **STORE},
            "template": head,
        },
        "workerGroupSpecs": groups,
    }


def _group(name: str, fleet: Fleet, kind: str, nodes: int, gpus: int) -> dict[str, Any]:
    resources: dict[str, str] = {"cpu": str(fleet.cpus), "memory": fleet.memory}
    if gpus:
        resources["nvidia.com/gpu"] = str(gpus)
    return {
        "groupName": kind,
        "replicas": nodes,
        "minReplicas": 0 if gpus else 1,
        "maxReplicas": nodes,
        "rayStartParams": dict(STORE),
        "template": _template(name, fleet, resources),
    }


def _template(name: str, fleet: Fleet, resources: dict[str, str]) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "tamis",
        "image": fleet.image,
        "resources": {"requests": dict(resources), "limits": dict(resources)},
        "volumeMounts": [
            {"name": "job", "mountPath": FOLDER, "readOnly": True},
            {"name": "shm", "mountPath": "/dev/shm"},
        ],
    }
    if fleet.secret:
        container["envFrom"] = [{"secretRef": {"name": fleet.secret}}]
    spec: dict[str, Any] = {
        "containers": [container],
        "volumes": [
            {"name": "job", "configMap": {"name": name}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY}},
        ],
    }
    if fleet.account:
        spec["serviceAccountName"] = fleet.account
    return {"spec": spec}


def check_image(image: str) -> None:
    """Refuse what is no name of a container image: Ray pastes it into a command line, Kubernetes refuses it late.

    Raises:
        ClusterError: no such name.
    """
    if not IMAGE.fullmatch(image):
        raise ClusterError(
            f"--image '{image}': no container image: it looks like registry.example.org/tamis:0.1.0-cuda"
        )


def with_autoscaling(job: Job) -> Job:
    """``job`` for a Ray cluster that adds nodes: its tasks wait for nodes that are yet to come."""
    return job.model_copy(update={"resources": job.resources.model_copy(update={"grows": True})})


def _name(job: str) -> str:
    """A job's name as KubeRay allows it: a letter, then lower case letters, digits and hyphens; at most 47 in all."""
    name = re.sub(r"[^a-z0-9-]+", "-", job.lower()).strip("-")
    return (name if name[:1].isalpha() else f"job-{name}")[:47].strip("-")
