"""What a tenth of the parts says of a whole run, held against that run: processor time, bytes, memory, wall time.

    .venv/bin/python tests/benchmarks/predict.py --input '../shared/data/openclipart/*.tar' --runs 3

Processor seconds are compared, for others may be at work on the machine; wall time is predicted as a range and measured
in each of the runs. With ``--here`` all is done in this process, without Ray. Ends with 1 where a total is off by more
than ``--within``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tamis.jobs.observers.journal import Journal
from tamis.pipeline.audit.reading.costs import Costs, costs
from tamis.pipeline.planning import trial
from tamis.pipeline.planning.predict import predict
from tamis.pipeline.runs import plan as planning
from tamis.pipeline.runs import walk
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.cluster import parse_cluster
from tamis.schemas.costs import Prediction
from tamis.schemas.job import Job
from tamis.schemas.parse import parse_job

CLIPART = Path(__file__).resolve().parents[3] / "shared" / "data" / "openclipart"

JOB = """
name: predicted
input: [{{path: '{input}'}}]
output: {output}
part_samples: {part}
steps:
  - signals: [words, characters, min_side, aspect_ratio]
  - rules: {{words: {{min: 2}}, min_side: {{min: 64}}, aspect_ratio: {{max: 3.0}}}}
  - exact_duplicates: {{on: image}}
  - near_duplicates: {{jaccard: 0.8, agree: phash}}
  - embed: {{encoder: demo}}
  - rules: {{name: similarity, clip_similarity: {{min: 0.1}}}}
  - semantic_duplicates: {{clusters: auto, epsilon: 0.07, which_to_keep: hard}}
  - density: {{clusters: auto, keep: 0.4, temperature: 0.1, neighbours: 20}}
  - write: {{samples_per_shard: 1000}}
"""

QUANTITIES = ("cpu_seconds", "read_bytes", "written_bytes", "memory_bytes")


def job(arguments: argparse.Namespace, output: str) -> Job:
    text = JOB.format(input=arguments.input, output=output, part=arguments.part_samples)
    return parse_job(text, "predicted")


def predicted(arguments: argparse.Namespace, folder: str) -> Prediction:
    plan = planning.make(job(arguments, f"{folder}/none"))
    workers = 1 if arguments.here else len(os.sched_getaffinity(0))
    began = time.process_time()
    start: trial.Start = Here if arguments.here else trial.on_ray(plan)
    tried = trial.measure(plan, arguments.sample, None, start)
    flops = trial.flops(tried.dim)
    print(
        f"sample: {tried.rows:,} rows in {tried.parts} parts, {tried.seconds:.0f} s, of these "
        f"{time.process_time() - began:.0f} s of this process's processor; {flops / 1e9:.0f} GFLOP/s",
        flush=True,
    )
    spec = f"1x({workers}cpu)"
    return predict(plan.job, tried, parse_cluster(spec), spec, flops, workers)


def done(arguments: argparse.Namespace, root: str) -> tuple[Costs, float]:
    """A whole run, and its wall seconds."""
    plan = planning.make(job(arguments, root))
    began = time.perf_counter()
    walk.run(plan, [Journal(root, {})], executor=Here(root) if arguments.here else None)
    return costs(root), time.perf_counter() - began


def show(said: Prediction, found: Costs) -> float:
    """Print all steps and the totals; the largest relative error of a total."""
    print(f"{'':22}" + "".join(f"{name:>38}" for name in QUANTITIES))
    worst = 0.0
    lines = [(s.step, said.steps[s.step], s.actual) for s in found.steps]
    for name, predicted, actual in [*lines, ("together", said.total, found.actual)]:
        cells = []
        for quantity in QUANTITIES:
            here, there = getattr(predicted, quantity), getattr(actual, quantity)
            error = here / there - 1 if there else 0.0
            cells.append(f"{here:15,.1f}{there:15,.1f}{error:8.0%}")
            worst = max(worst, abs(error)) if name == "together" else worst
        print(f"{name:22}" + "".join(cells))
    return worst


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--input", default=f"{CLIPART}/*.tar")
    parser.add_argument("--sample", type=float, default=0.1)
    parser.add_argument("--part-samples", type=int, default=128)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--within", type=float, default=0.25)
    parser.add_argument("--here", action="store_true")
    arguments = parser.parse_args(given)
    with tempfile.TemporaryDirectory(prefix="tamis-predict-") as folder:
        said = predicted(arguments, folder)
        print(
            f"predicted: {said.samples:,.0f} rows, wall {said.wall[0]:.0f} to {said.wall[1]:.0f} s"
        )
        worst = 0.0
        for number in range(arguments.runs):
            found, seconds = done(arguments, f"{folder}/run-{number}")
            within = said.wall[0] <= seconds <= said.wall[1]
            print(
                f"run {number + 1}: wall {seconds:.0f} s, {'in' if within else 'NOT in'} the range"
            )
            worst = max(worst, show(said, found))
    print(f"the worst total is off by {worst:.0%}")
    return int(worst > arguments.within)


if __name__ == "__main__":
    sys.exit(main())
