"""A Ray cluster to plan for, as text (``8x(16cpu,64GB,1gpu)@2.50 + 2x(32cpu,256GB)@1.60``) or in a YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tamis.schemas.errors import ClusterError

UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

FORM = "it looks like `8x(16cpu,64GB,1gpu)@2.50`: nodes x (processors, memory, GPUs) @ price a node and hour"

GROUP = re.compile(r"(?:(\d+)\s*x\s*)?\(([^()]*)\)(?:\s*@\s*([\d.]+))?")


def _bytes(value: object) -> object:
    """A text such as ``64GB`` as a number of bytes; another value stays for the model to check."""
    match = re.fullmatch(r"([\d.]+)\s*(\w+)", value) if isinstance(value, str) else None
    if match and match[2] in UNITS:
        return int(float(match[1]) * UNITS[match[2]])
    return value


class Nodes(BaseModel):
    """Nodes of one kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(1, ge=1, le=1_000_000, description="nodes")
    cpus: float = Field(gt=0, description="processors a node")
    memory: Annotated[int, BeforeValidator(_bytes)] | None = Field(
        None, ge=1 << 20, description="bytes a node, or a text such as 64GB; not checked by default"
    )
    gpus: float = Field(0, ge=0, description="GPUs a node")
    per_hour: float | None = Field(None, ge=0, description="price of a node and hour")


class RayCluster(BaseModel):
    """A Ray cluster: groups of equal nodes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: tuple[Nodes, ...] = Field(min_length=1)

    def slots(self, cpus: float, gpus: float = 0.0, memory: float = 0.0) -> int:
        """Number of tasks with these claims (memory in bytes) that fit at once, each on one node."""
        return sum(node.count * _fitting(node, cpus, gpus, memory) for node in self.nodes)

    @property
    def per_hour(self) -> float | None:
        """Price of all nodes for an hour; None if a node has no price."""
        prices = [(node.count, node.per_hour) for node in self.nodes]
        known = [count * price for count, price in prices if price is not None]
        return sum(known) if len(known) == len(prices) else None


def _fitting(node: Nodes, cpus: float, gpus: float, memory: float) -> int:
    fitting = [node.cpus / cpus] if cpus else []
    if gpus:
        fitting.append(node.gpus / gpus)
    if memory and node.memory:
        fitting.append(node.memory / memory)
    return int(min(fitting)) if fitting else 1


def parse_cluster(text: str) -> RayCluster:
    """Parse a Ray cluster from one line of text.

    Raises:
        ClusterError: a group or size has another form.
    """
    groups = [_group(part.strip(), text) for part in text.split("+")]
    return check_cluster({"nodes": groups}, text)


def _group(part: str, text: str) -> dict[str, object]:
    match = GROUP.fullmatch(part)
    if not match:
        raise ClusterError(f"--cluster {text}: `{part}` is no group of nodes: {FORM}")
    group: dict[str, object] = {"count": match[1] or 1}
    for item in match[2].split(","):
        size = re.fullmatch(r"\s*([\d.]+)\s*(\w+)\s*", item)
        if size and size[2].lower() in ("cpu", "cpus", "gpu", "gpus"):
            name, value = size[2].lower().rstrip("s") + "s", size[1]
        elif size and size[2] in UNITS:
            name, value = "memory", item.strip()
        else:
            raise ClusterError(f"--cluster {text}: `{item.strip()}` is no size: {FORM}")
        if name in group:
            raise ClusterError(f"--cluster {text}: `{part}` has two sizes for {name}: {FORM}")
        group[name] = value
    if match[3]:
        group["per_hour"] = match[3]
    return group


def check_cluster(raw: object, name: str) -> RayCluster:
    """Check the plain values of a YAML file and make a Ray cluster of them; ``name`` is for messages.

    Raises:
        ClusterError: a key or a value is wrong.
    """
    try:
        return RayCluster.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ClusterError(f"--cluster {name}: {key}: {first['msg']}: {FORM}") from None


RATES: Mapping[str, str] = {
    "cpu": "a processor and hour",
    "gpu": "a GPU and hour",
    "storage": "a GB (10^9 bytes) and month",
}


def parse_rates(text: str) -> dict[str, float]:
    """Parse prices such as ``cpu=0.04,gpu=2,storage=0.023``, in the units of ``RATES``.

    Raises:
        ClusterError: an unknown name, or a value that is no number.
    """
    rates = {}
    for item in filter(None, text.split(",")):
        name, _, value = item.partition("=")
        if name.strip() not in RATES or not re.fullmatch(r"\s*\d+(\.\d*)?\s*|\s*\.\d+\s*", value):
            raise ClusterError(
                f"--rates {text}: `{item}` is no rate: it looks like cpu=0.04,gpu=2,storage=0.023"
            )
        rates[name.strip()] = float(value)
    return rates
