"""Run as a program: three nodes on this machine, one with a pretended GPU; prints what became of the work as JSON.

A process of its own, because Ray keeps its token and its settings for as long as a process lives.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.cluster_utils import Cluster

from tamis.jobs.cluster import probe
from tamis.pipeline.runs import plan, walk
from tamis.pipeline.runs.ray_engine import RayEngine
from tamis.pipeline.tasks.perform import Outcome, Work
from tamis.pipeline.tasks.phase import listed
from tamis.pipeline.tasks.task import Task, TaskIo
from tamis.schemas.errors import ClusterError, InputError
from tamis.schemas.parse import parse_job
from tamis.schemas.resources import Claimed
from tamis.schemas.resources import Resources as Machine
from tamis.schemas.scope import Scope

SMALL: dict[str, Any] = {
    "num_cpus": 1,
    "object_store_memory": 80_000_000,
    "include_dashboard": False,
}


def where(io: TaskIo[float]) -> Iterator[pa.Table]:
    """The node that the task runs on."""
    time.sleep(io.args)
    yield pa.table({"node": [ray.get_runtime_context().get_node_id()]})


def together(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """The nodes that the task and what it has done ahead run on, and in which order the latter came."""
    found = list(io.ahead(_slow_first, range(6)))
    here = ray.get_runtime_context().get_node_id()
    yield pa.table(
        {"node": [here] * 6, "elsewhere": [n for n, _ in found], "item": [i for _, i in found]}
    )


def _slow_first(item: int) -> tuple[str, int]:
    time.sleep(0.6 - item / 10)
    return ray.get_runtime_context().get_node_id(), item


def dying(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """What it has done ahead ends its process."""
    yield pa.table({"item": list(io.ahead(os._exit, [1]))})


def failing(io: TaskIo[Any]) -> Iterator[pa.Table]:
    """What it has done ahead finds something wrong that a person can mend."""
    yield pa.table({"item": list(io.ahead(_wrong, ["this"]))})


def _wrong(item: str) -> None:
    raise InputError(f"{item} is wrong")


def works(phase: str, count: int, seconds: float) -> list[Work]:
    return [
        Work(Task(Scope.PART, i, {}, seconds), f"tables/step/{phase}/t{i}.parquet", f"{i}")
        for i in range(count)
    ]


def nodes_of(root: Path, phase: str) -> list[str]:
    files = sorted((root / "tables" / "step" / phase).glob("*.parquet"))
    return [pq.read_table(path)["node"][0].as_py() for path in files]


def tried(root: Path, address: str, resources: Claimed) -> str:
    """What a claim that no node can meet is answered."""
    engine = RayEngine(str(root), Machine(), address)
    try:
        list(engine.run(listed("none", where, [], resources), works("none", 1, 0)))
    except ClusterError as error:
        return str(error)
    finally:
        engine.stop()
    return ""


def changing(cluster: Any, root: Path, node: Any) -> int:
    """One node leaves and another comes while tasks are at work; how many were finished."""
    engine = RayEngine(str(root), Machine(), cluster.address)
    finished = 0
    for _ in engine.run(listed("changing", where, [], Claimed()), works("changing", 8, 1.5)):
        finished += 1
        if finished == 1:
            cluster.remove_node(node, allow_graceful=False)
            cluster.add_node(**SMALL)
    engine.stop()
    return finished


def awaited(cluster: Any, root: Path) -> tuple[int, list[str], str]:
    """A GPU pool begins where no node has two GPUs; one comes later. Finished, where, and that node."""
    engine = RayEngine(str(root), Machine(grows=True), cluster.address)
    # Both Rays want the main thread: so the driver begins here, and goes on beside the node's coming.
    list(engine.run(listed("first", where, [], Claimed()), works("first", 1, 0)))
    phase = listed("awaited", where, [], Claimed(gpus=2, pool=True))
    outcomes: list[Outcome] = []
    waiting = threading.Thread(
        target=lambda: outcomes.extend(engine.run(phase, works("awaited", 2, 0))), daemon=True
    )
    waiting.start()
    time.sleep(5)
    came = cluster.add_node(**SMALL, num_gpus=2)
    waiting.join(120)
    engine.stop()
    return len(outcomes), nodes_of(root, "awaited"), came.node_id


def _blind(paths: list[str]) -> list[str]:
    """A node that sees none of them."""
    return paths


def asked(cluster: Any, root: Path) -> list[dict[str, str]]:
    """What a probe tells of a folder that all nodes see, and where another node says that it sees none."""
    ray.init(address=cluster.address, log_to_driver=False)
    shared = probe.unshared([str(root), "s3://bucket/run", "/not/here/either"])
    probe.absent = _blind
    unshared = probe.unshared([str(root)])
    ray.shutdown()
    return [shared, unshared]


def main(root: Path, job: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "num_cpus": 0})
    leaving = cluster.add_node(**SMALL)
    gpu = cluster.add_node(**SMALL, num_gpus=1)
    engine = RayEngine(str(root), Machine(), cluster.address)
    half = Claimed(cpus=0.5, gpus=0.5, pool=True)
    list(engine.run(listed("gpu", where, [], half), works("gpu", 4, 0.2)))
    list(engine.run(listed("cpu", where, [], Claimed()), works("cpu", 4, 1.0)))
    split = Claimed(cpus=0, gpus=1, pool=True, decoding_tasks=2)
    list(engine.run(listed("split", together, [], split), works("split", 1, 0)))
    (died,) = engine.run(listed("dying", dying, [], split), works("dying", 1, 0))
    (failed,) = engine.run(listed("failing", failing, [], split), works("failing", 1, 0))
    engine.stop()
    made = plan.make(parse_job(job.read_text(), "job"))
    result = walk.run(made, address=cluster.address)
    told = {
        "split": pq.read_table(root / "tables/step/split/t0.parquet").to_pydict(),
        "died": died.died,
        "failed": str(failed.error),
        "gpu_node": gpu.node_id,
        "gpu": nodes_of(root, "gpu"),
        "cpu": nodes_of(root, "cpu"),
        "tasks": result.tasks_run,
        "refused": tried(root, cluster.address, Claimed(gpus=2, pool=True)),
        "finished": changing(cluster, root, leaving),
        "awaited": awaited(cluster, root),
        "asked": asked(cluster, root),
    }
    sys.stdout.write(f"{json.dumps(told)}\n")
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
