"""Predicted costs of a job on a cluster: the costs of a trial's phases, scaled to the whole and added up by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tamis.pipeline.host import machine
from tamis.pipeline.planning import forecast
from tamis.pipeline.planning.forecast import Machine, PhaseForecast, Scale
from tamis.pipeline.planning.trial import Trial
from tamis.pipeline.tasks.claims import of_job
from tamis.schemas.cluster import RayCluster
from tamis.schemas.costs import Cost, Prediction
from tamis.schemas.errors import ClusterError
from tamis.schemas.job import Job

HOUR = 3600.0
GB = 1e9


def predict(
    job: Job,
    trial: Trial,
    cluster: RayCluster,
    shown: str,
    flops: float,
    workers: int,
    rows: float | None = None,
    rates: Mapping[str, float] | None = None,
) -> Prediction:
    """The costs of ``job`` on ``cluster``, by step.

    Args:
        job: as it is to run.
        trial: what a sample of its input took.
        cluster: where it is to run.
        shown: the cluster as it was asked for.
        flops: of one processor, a second.
        workers: tasks that the trial could do at once.
        rows: of the whole; as many as the input has by default.
        rates: money for work and storage, by the names of ``schemas.cluster.RATES``.

    Raises:
        ClusterError: no node can carry a task.
    """
    whole_rows = float(rows or trial.input_rows)
    whole = Scale(whole_rows, reaching(job, trial, whole_rows), job, trial.sample.part_rows)
    machine = Machine(workers, flops, trial.dim, cluster, trial.ingest_bytes, trial.gpu_flops)
    steps: dict[str, Cost] = {}
    wall: dict[str, tuple[float, float]] = {}
    for step, made in _phases(trial, whole, machine, shown):
        low, high = wall.get(step, (0.0, 0.0))
        steps[step] = steps.get(step, Cost()) + made.cost
        wall[step] = low + made.wall_seconds[0], high + made.wall_seconds[1]
    total = sum(steps.values(), Cost())
    span = tuple(sum(each[i] for each in wall.values()) + trial.start_seconds for i in (0, 1))
    return Prediction(
        whole_rows,
        trial.rows,
        shown,
        steps,
        wall,
        trial.start_seconds,
        total.written_bytes,
        dict(_money(total, (span[0], span[1]), cluster, rates or {})),
        tuple(notes(job, steps, cluster)),
    )


def _phases(
    trial: Trial, whole: Scale, machine: Machine, shown: str
) -> Iterator[tuple[str, PhaseForecast]]:
    """The step and the forecast of each phase."""
    for phase in trial.phases:
        if not machine.cluster.slots(phase.cpus, phase.gpus):
            raise ClusterError(
                f"--cluster {shown}: {phase.step} claims {phase.cpus:g} CPU and {phase.gpus:g} GPU a task, "
                "and no node has that: change resources.steps, or the nodes"
            )
        made = forecast.phase(phase, trial.sample, whole, machine)
        yield phase.step, _corrected(made, phase.step, phase.phase, trial, whole.rows)


def check_claims(job: Job, cluster: RayCluster, shown: str) -> None:
    """Check that every task of ``job`` fits a node, wherever its sample is run.

    Raises:
        ClusterError: no node can carry one.
    """
    for claim in of_job(job):
        if not cluster.slots(claim.cpus, claim.gpus, claim.memory):
            other = "set device: cpu, " if claim.gpus and not cluster.slots(0, claim.gpus) else ""
            raise ClusterError(
                f"--cluster {shown}: {claim.step}: a task claims {claim}, and no node has that: {other}change the "
                "job's resources, or the nodes"
            )


def reaching(job: Job, trial: Trial, rows: float) -> dict[str, float]:
    """Samples that reach each step, of ``rows`` in all.

    A filter keeps the same share as in the sample. The share of duplicates grows with the data: survivors' =
    survivors x growth^b (Heaps' law). If the sample's groups of duplicates are complete, only survivors without a
    duplicate can still lose to one: 1 - b = ``doubled`` / survivors. If all groups are pairs, the dropped share doubles
    with the data: 1 - b = dropped / survivors. The formula takes the mean of the two.
    """
    found: dict[str, float] = {}
    left = rows
    counts = {config.name: config.kept_count for config in job.steps}
    for step in trial.sample.alive:
        found[step] = rows if step in ("ingest", "ledger") else left
        verdict = trial.verdicts.get(step)
        if verdict and verdict.entered:
            survivors = verdict.entered - verdict.dropped
            growth = left / verdict.entered
            met = (verdict.doubled + verdict.dropped) / 2 if verdict.doubled and growth > 1 else 0.0
            power = max(0.0, 1.0 - met / max(1, survivors))
            left = survivors * growth**power
            left = min(left, counts.get(step) or left)
    return found


def _corrected(
    made: PhaseForecast, step: str, phase: str, trial: Trial, rows: float
) -> PhaseForecast:
    """The bytes that ingest reads, which are known: every byte of the input, once."""
    if (step, phase) != ("ingest", "files"):
        return made
    read = trial.input_bytes * rows / trial.input_rows
    cost = Cost(**{**vars(made.cost), "read_bytes": read})
    return PhaseForecast(cost, made.tasks, made.wall_seconds)


def _money(
    total: Cost, wall: tuple[float, float], cluster: RayCluster, rates: Mapping[str, float]
) -> Iterator[tuple[str, tuple[float, float]]]:
    if cluster.per_hour is not None:
        low, high = (seconds / HOUR * cluster.per_hour for seconds in wall)
        yield "nodes, for the wall time", (low, high)
    if "cpu" in rates or "gpu" in rates:
        work = total.cpu_seconds / HOUR * rates.get("cpu", 0.0)
        work += total.gpu_seconds / HOUR * rates.get("gpu", 0.0)
        yield "work, by the hour of a processor or GPU", (work, work)
    if "storage" in rates:
        month = total.written_bytes / GB * rates["storage"]
        yield "storage of the run, a month", (month, month)


def notes(job: Job, steps: Mapping[str, Cost], cluster: RayCluster) -> Iterator[str]:
    """What a person should know of such a run before it is paid for."""
    for name, cost in steps.items():
        if not cluster.slots(0.01, 0.0, cost.memory_bytes):
            # What gathers from all parts takes no less of smaller ones.
            mend = "larger nodes" if cost.shuffled_bytes else "larger nodes, or smaller parts"
            yield (
                f"{name}: a task takes {cost.memory_bytes / GB:,.1f} GB, and no node has that much: {mend}"
            )
    works_there = any(claim.gpus for claim in of_job(job))
    if not works_there and any(node.gpus for node in cluster.nodes):
        yield "the nodes' GPUs are paid for and idle: no step says `device: cuda`, such as --set embed.device=cuda"
    if works_there and not machine.gpus():
        yield (
            "this machine has no GPU: what is to run on one was measured on processors, stands among the CPU-hours, "
            "and is no GPU-hour: take the sample where a GPU is"
        )
