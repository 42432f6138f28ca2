"""Run as a program: a job on two nodes of this machine, one of which is taken away; prints what became of it as JSON.

    python -m tests.support.lost_node JOB OUTPUT TASKS

A process of its own, because Ray keeps its settings for as long as a process lives. TASKS: how many are done before.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ray.cluster_utils import Cluster

from tamis.pipeline.runs import plan, walk
from tamis.schemas.events import Event, TaskDone
from tamis.schemas.parse import parse_job
from tests.support.nodes import SMALL


def main(job: Path, output: str, tasks: int) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "num_cpus": 0})
    cluster.add_node(**SMALL)
    leaving = [cluster.add_node(**SMALL)]
    embedded, done = 0, 0

    def observe(event: Event) -> None:
        nonlocal embedded, done
        if not isinstance(event, TaskDone):
            return
        done += 1
        embedded += event.written if event.phase == "vectors" else 0
        if done >= tasks and leaving:
            cluster.remove_node(leaving.pop(), allow_graceful=False)  # its processes are killed

    made = plan.make(parse_job(job.read_text(), str(job), [f"output={output}"]))
    walk.run(made, [observe], address=cluster.address)
    sys.stdout.write(f"{json.dumps({'lost': not leaving, 'embedded': embedded})}\n")
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
