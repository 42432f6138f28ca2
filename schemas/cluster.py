"""A cluster in words, to reckon with: ``8x(16cpu,64GB,1gpu)@2.50 + 2x(32cpu,256GB)@1.60``, or a YAML file of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tamis.schemas.errors import ClusterError

UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

LOOKS = "it looks like `8x(16cpu,64GB,1gpu)@2.50`: nodes x (processors, memory, GPUs) @ price a node and hour"

GROUP = re.compile(r"(?:(\d+)\s*x\s*)?\(([^()]*)\)(?:\s*@\s*([\d.]+))?")


def _bytes(value: object) -> object:
    """``64GB`` as a number."""
    found = re.fullmatch(r"([\d.]+)\s*(\w+)", value) if isinstance(value, str) else None
    if found and found[2] in UNITS:
        return int(float(found[1]) * UNITS[found[2]])
    return value


class Nodes(BaseModel):
    """Nodes of one kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(1, ge=1, le=1_000_000, description="nodes")
    cpus: float = Field(gt=0, description="processors a node")
    memory: Annotated[int, BeforeValidator(_bytes)] | None = Field(
        None, ge=1 << 20, description="bytes a node, or a text such as 64GB; not judged by default"
    )
    gpus: float = Field(0, ge=0, description="GPUs a node")
    per_hour: float | None = Field(None, ge=0, description="price of a node and hour")


class Cluster(BaseModel):
    """What a job is to run on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nodes: tuple[Nodes, ...] = Field(min_length=1)

    def slots(self, cpus: float, gpus: float = 0.0, memory: float = 0.0) -> int:
        """Tasks of such claims (memory in bytes) that it carries at once; none lies on two nodes."""
        return sum(node.count * _fitting(node, cpus, gpus, memory) for node in self.nodes)

    @property
    def per_hour(self) -> float | None:
        """The price of all nodes for an hour; None where one has none."""
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


def parse_cluster(text: str) -> Cluster:
    """A cluster from one line.

    Raises:
        ClusterError: it is none.
    """
    groups = [_group(part.strip(), text) for part in text.split("+")]
    return check_cluster({"nodes": groups}, text)


def _group(part: str, text: str) -> dict[str, object]:
    found = GROUP.fullmatch(part)
    if not found:
        raise ClusterError(f"--cluster {text}: `{part}` is no group of nodes: {LOOKS}")
    group: dict[str, object] = {"count": found[1] or 1}
    for item in found[2].split(","):
        size = re.fullmatch(r"\s*([\d.]+)\s*(\w+)\s*", item)
        if size and size[2].lower() in ("cpu", "cpus", "gpu", "gpus"):
            name, value = size[2].lower().rstrip("s") + "s", size[1]
        elif size and size[2] in UNITS:
            name, value = "memory", item.strip()
        else:
            raise ClusterError(f"--cluster {text}: `{item.strip()}` is no size: {LOOKS}")
        if name in group:
            raise ClusterError(f"--cluster {text}: `{part}` says its {name} twice: {LOOKS}")
        group[name] = value
    if found[3]:
        group["per_hour"] = found[3]
    return group


def check_cluster(raw: object, name: str) -> Cluster:
    """A cluster from plain values, as a YAML file has them.

    Raises:
        ClusterError: a key or a value is wrong.
    """
    try:
        return Cluster.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(place) for place in first["loc"])
        raise ClusterError(f"--cluster {name}: {where}: {first['msg']}: {LOOKS}") from None


RATES: Mapping[str, str] = {
    "cpu": "a processor and hour",
    "gpu": "a GPU and hour",
    "storage": "a GB (10^9 bytes) and month",
}


def parse_rates(text: str) -> dict[str, float]:
    """``cpu=0.04,gpu=2,storage=0.023`` as numbers.

    Raises:
        ClusterError: a name that is none, or no number.
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
