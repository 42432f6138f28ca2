"""Run as a program: a job on two nodes of this machine, one of which is taken away; prints what became of it as JSON.

    python -m tests.support.lost_node JOB OUTPUT TASKS [FOLDER]

A process of its own, because Ray keeps its settings for as long as a process lives. TASKS: how many are done before.
With FOLDER every node has a working folder and a folder for temporary files of its own below it, and the driver too.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from tamis.pipeline.runs import plan, walk
from tamis.schemas.events import Event, TaskDone
from tamis.schemas.parse import parse_job
from tests.support.nodes import SMALL


def apart(folder: Path | None, name: str) -> dict[str, Any]:
    """What a node is begun with, so that it has folders of its own; this process goes there, and the node stays."""
    if folder is None:
        return {}
    temporary = folder / name / "temporary"
    temporary.mkdir(parents=True)
    os.chdir(folder / name)
    return {"env_vars": {"TMPDIR": str(temporary)}}


def place() -> tuple[str, str]:
    """The working folder of a process, and its folder for temporary files."""
    return os.getcwd(), tempfile.gettempdir()


def place_of_workers(address: str) -> tuple[str, str]:
    """The same of a worker of the node that is left."""
    ray.init(address=address, log_to_driver=False)
    found: tuple[str, str] = ray.get(ray.remote(place).remote())
    ray.shutdown()
    return found


def main(job: Path, output: str, tasks: int, folder: Path | None = None) -> None:
    """Do the job, and lose the second node on the way."""
    made = plan.make(parse_job(job.read_text(), str(job), [f"output={output}"]))
    head = {**SMALL, "num_cpus": 0}
    cluster = Cluster(initialize_head=True, head_node_args={**head, **apart(folder, "head")})
    cluster.add_node(**SMALL, **apart(folder, "staying"))
    leaving = [cluster.add_node(**SMALL, **apart(folder, "leaving"))]
    apart(folder, "driver")
    embedded, done = 0, 0

    def observe(event: Event) -> None:
        nonlocal embedded, done
        if not isinstance(event, TaskDone):
            return
        done += 1
        embedded += event.written if event.phase == "vectors" else 0
        if done >= tasks and leaving:
            cluster.remove_node(leaving.pop(), allow_graceful=False)  # its processes are killed

    walk.run(made, [observe], address=cluster.address)
    told: dict[str, Any] = {"lost": not leaving, "embedded": embedded, "done": done}
    if folder is not None:
        told["driver"], told["worker"] = place(), place_of_workers(cluster.address)
    sys.stdout.write(f"{json.dumps(told)}\n")
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *map(Path, sys.argv[4:]))
