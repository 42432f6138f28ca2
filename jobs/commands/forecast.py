"""``tamis plan JOB --cluster SPEC``: what it would cost, from a sample that is really run."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

import typer

from tamis.jobs.commands.costs import COLUMNS, cells
from tamis.jobs.loading import Request, load
from tamis.jobs.terminal import display
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
"""Parts of the sample, where nobody says how large it is to be."""


@dataclass(frozen=True)
class Question:
    """The options of ``tamis plan`` that are about costs."""

    cluster: str
    rows: float | None = None
    sample: float | None = None
    rates: str = ""
    here: bool = False  # in this process, without Ray


def forecast_job(request: Request, question: Question, *, json_asked: bool) -> None:
    """Run a sample, and show what the whole would cost. It is kept beside ``plan.json`` unless it is for other rows.

    Raises:
        TamisError: the job cannot be done, or the question makes no sense.
    """
    if question.sample is not None and not 0 < question.sample <= 1:
        raise JobError(f"--sample {question.sample:g}: a share in (0, 1], such as 0.1")
    if question.rows is not None and not 1 <= question.rows <= MOST_ROWS:
        raise JobError(f"--rows {question.rows:g}: 1 to {MOST_ROWS:g}, such as 5.8e9")
    cluster, rates = cluster_of(question.cluster), parse_rates(question.rates)
    job = load(request)
    check_claims(job, cluster, question.cluster)
    plan = planning.make(job)
    start: trial.Start = Here if question.here else trial.on_ray(plan)
    processors = plan.job.resources.cpus or len(os.sched_getaffinity(0))
    workers = 1 if question.here else processors
    typer.echo("tamis: a sample of the parts is run, here, in a temporary directory", err=True)
    bound = MOST_PARTS if question.sample is None else None
    tried = trial.measure(plan, question.sample or SHARE, bound, start)
    flops = trial.flops(tried.dim or 512)
    said = predict(plan.job, tried, cluster, question.cluster, flops, workers, question.rows, rates)
    if question.rows is None:
        path = storage.join(plan.root, PREDICTION)
        storage.write_bytes(path, json.dumps(said.to_json(), indent=1).encode())
    if json_asked:
        typer.echo(display.as_json({"job": plan.job.name, **said.to_json()}))
        return
    _show(said, tried, plan.root if question.rows is None else None)


def cluster_of(spec: str) -> RayCluster:
    """A cluster from a line, or from a YAML file.

    Raises:
        ClusterError: it is none.
    """
    if spec.endswith((".yaml", ".yml")):
        return check_cluster(read(storage.read_bytes(spec).decode(), spec), spec)
    return parse_cluster(spec)


def _show(said: Prediction, tried: trial.Trial, kept: str | None) -> None:
    out = display.console()
    share = display.share(tried.rows, round(tried.input_rows))
    out.print(
        f"measured: {display.count(tried.rows)} samples in {display.count(tried.parts)} parts, {share} of the input, "
        f"in {display.duration(tried.seconds)}"
    )
    out.print(f"predicted: {display.count(round(said.samples))} samples on {said.cluster}")
    out.print()
    headers = [("step", "left"), *((name, "right") for name, _, _ in COLUMNS), ("wall", "right")]
    rows = [
        [name, *cells(cost), _span(*said.wall_seconds[name])] for name, cost in said.steps.items()
    ]
    rows.append(["together", *cells(said.total), _span(*said.wall)])
    display.print_table(out, display.table(headers, rows))
    out.print(
        f"CPU-hours {said.total.cpu_seconds / 3600:,.2f}, "
        f"GPU-hours {said.total.gpu_seconds / 3600:,.2f}, stored {display.size(said.stored_bytes)}"
    )
    for what, (low, high) in said.money.items():
        out.print(f"{what}: {low:,.2f}" + (f" to {high:,.2f}" if high > low else ""))
    for note in said.notes:
        out.print(display.plain(f"note: {note}"), soft_wrap=True)
    if kept:
        out.print(
            f"kept in {kept}/{PREDICTION}: after the run, tamis audit {kept} --costs compares"
        )


def _span(low: float, high: float) -> str:
    return f"{display.duration(low)} to {display.duration(high)}"
