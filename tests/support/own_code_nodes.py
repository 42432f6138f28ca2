"""Run as a program: a job with code of the user's own on two nodes of this machine, its files gone once it is read.

    python -m tests.support.own_code_nodes JOB

A process of its own, because Ray keeps its settings for as long as a process lives. Prints the run's tasks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ray.cluster_utils import Cluster

from tamis.pipeline.runs import plan, walk
from tamis.schemas.parse import parse_job
from tests.support.nodes import SMALL


def main(job: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "num_cpus": 0})
    for _ in range(2):
        cluster.add_node(**SMALL)
    made = plan.make(parse_job(job.read_text(), str(job)))
    for file in job.parent.glob("*.py"):
        file.unlink()
    sys.stdout.write(f"{walk.run(made, address=cluster.address).tasks_run}\n")
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
