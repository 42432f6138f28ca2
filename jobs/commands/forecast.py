"""``tamis plan JOB --cluster SPEC``: costs predicted from a sample that is run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from tamis.jobs.commands.costs import COLUMNS, cells
from tamis.jobs.job_files.load import Request, load
from tamis.jobs.terminal import display
from tamis.pipeline.audit.reading.words import share
from tamis.pipeline.planning import trial
from tamis.pipeline.planning.predict import check_claims, predict
from tamis.pipeline.runs import plan as planning
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.perform import Here
from tamis.schemas.cluster import RayCluster, check_cluster, parse_cluster, parse_rates
from tamis.schemas.costs import PREDICTION, Prediction
from tamis.schemas.errors import JobError
from tamis.schemas.parse import read

SHARE = 0.1
MOST_ROWS = 1e15
MOST_PARTS = 64
"""Most parts of the sample without --sample."""


@dataclass(frozen=True)
class Question:
    """The options of ``tamis plan`` that are about costs."""

    cluster: str
    rows: float | None = None
    sample: float | None = None
    rates: str = ""
    here: bool = False  # in this process, without Ray


def forecast_job(request: Request, question: Question, *, json_asked: bool) -> None:
    """Run a sample, and show the predicted costs of the job; write them beside ``plan.json`` unless for other rows.

    Raises:
        TamisError: the job cannot be done, or an option is out of range.
    """
    if question.sample is not None and not 0 < question.sample <= 1:
        raise JobError(f"--sample {question.sample:g}: a share in (0, 1], such as 0.1")
    if question.rows is not None and not 1 <= question.rows <= MOST_ROWS:
        raise JobError(f"--rows {question.rows:g}: 1 to {MOST_ROWS:g}, such as 5.8e9")
    cluster, rates = read_cluster(question.cluster), parse_rates(question.rates)
    job = load(request)
    check_claims(job, cluster, question.cluster)
    plan = planning.make(job)
    start: trial.Start = Here if question.here else trial.on_ray(plan)
    processors = plan.job.resources.cpus or len(os.sched_getaffinity(0))
    workers = 1 if question.here else processors
    display.echo("tamis: a sample of the parts is run here, in a temporary directory", err=True)
    bound = MOST_PARTS if question.sample is None else None
    sample = trial.measure(plan, question.sample or SHARE, bound, start)
    flops = trial.flops(sample.dim or 512)
    prediction = predict(
        plan.job, sample, cluster, question.cluster, flops, workers, question.rows, rates
    )
    if question.rows is None:
        path = storage.join(plan.root, PREDICTION)
        storage.write_bytes(path, json.dumps(prediction.to_json(), indent=1).encode())
    if json_asked:
        display.echo(display.as_json({"job": plan.job.name, **prediction.to_json()}))
        return
    _show(prediction, sample, plan.root if question.rows is None else None)


def read_cluster(spec: str) -> RayCluster:
    """A Ray cluster from a line, or from a YAML file.

    Raises:
        ClusterError: no such description.
    """
    if spec.endswith((".yaml", ".yml")):
        return check_cluster(read(storage.read_bytes(spec).decode(), spec), spec)
    return parse_cluster(spec)


def _show(prediction: Prediction, sample: trial.Trial, root: str | None) -> None:
    out = display.console()
    of_input = share(sample.rows, round(sample.input_rows))
    out.print(
        f"measured: {display.count(sample.rows)} samples in {display.count(sample.parts)} parts, {of_input} of the "
        f"input, in {display.duration(sample.seconds)}"
    )
    out.print(
        f"predicted: {display.count(round(prediction.samples))} samples on {prediction.cluster}"
    )
    out.print()
    headers = [("step", "left"), *((name, "right") for name, _, _ in COLUMNS), ("wall", "right")]
    rows = [
        [name, *cells(cost), _span(*prediction.wall_seconds[name])]
        for name, cost in prediction.steps.items()
    ]
    rows.append(["together", *cells(prediction.total), _span(*prediction.wall)])
    display.print_table(out, display.table(headers, rows))
    out.print(
        f"CPU-hours {prediction.total.cpu_seconds / 3600:,.2f}, "
        f"GPU-hours {prediction.total.gpu_seconds / 3600:,.2f}, stored {display.size(prediction.stored_bytes)}"
    )
    for what, (low, high) in prediction.money.items():
        out.print(f"{what}: {low:,.2f}" + (f" to {high:,.2f}" if high > low else ""))
    for note in prediction.notes:
        out.print(display.plain(f"note: {note}"), soft_wrap=True)
    if root:
        out.print(
            f"kept in {root}/{PREDICTION}: after the run, tamis audit {root} --costs compares"
        )


def _span(low: float, high: float) -> str:
    return f"{display.duration(low)} to {display.duration(high)}"
