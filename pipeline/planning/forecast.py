"""From the tasks of a sample to the costs of a whole run: how each phase grows. Formulas; nothing runs here.

With ``growth`` g = rows of the whole / rows of the sample, for each phase of each step:

- *rows* grow by g; but the k-means sample is ``min(alive, K x points_per_centroid)``, cut to ``sample_bytes``.
- *tasks*: one a part, file or shard: g times as many as the sample had; one a range: N / ``range_samples``; buckets:
  as many as the step makes of what reaches it (``steps.shared.bucket_counts``), at least as many as the sample had;
  others: as many as the sample had.
- *processor seconds* = rows x seconds a row of warm tasks + cold seconds x workers + FLOP that grow otherwise / rate
  (of a processor, or of a GPU where the phase's tasks hold one):
    - assignment (``assign``, ``sums-*``): 2 x rows x K x d;
    - training (``train``, or ``start``): 2 x sample x K x d x iterations;
    - pairs inside clusters (``pairs``): alive^2 / K x d, clusters taken to be equal.
  Cold is the first task of a kind in a process: imports, a model. It is paid once a worker, and told apart from work.
- *bytes read and written* grow with rows, but for what cold tasks read more than others: a model, once a worker. Where
  there are more buckets than the sample had, every reader of one row group reads a footer that describes all of them:
  parts x buckets x (buckets - sample's) x ``FOOTER`` bytes more.
  A part's task that reads the ingest table of its file asks for the end of it, 64 KiB at most: the whole's is longer
  than the sample's, which has but the file's first parts.
- *memory*: the largest process of the sample; a part stays as large as it is, and a task that gathers holds ``HELD``
  bytes more for every byte that it reads more than the sample's did.
- *wall seconds*, low: processor seconds over the tasks that run at once; high: as many rounds as there are tasks for
  a worker, each as long as the slowest by the clock, and what starting the phase took besides.

What reaches a step (``predict.reaching``) is not the same share of the sample as of the whole, in which more
duplicates are found: rows and bytes written grow by g x that ratio, bytes read by g, for pictures that are no longer
alive are mostly read along, in the gaps between others. As many parts are read whatever is alive in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tamis.pipeline.algorithms.clusters import kmeans, semantic
from tamis.pipeline.algorithms.near_captions.minhash import choose_bands
from tamis.pipeline.steps.concepts.config import Clustered
from tamis.pipeline.steps.duplicates.near_captions.config import NearDuplicates
from tamis.pipeline.steps.duplicates.near_pictures.config import NearPictures
from tamis.pipeline.steps.duplicates.semantic.config import SemanticDuplicates
from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.bucket_counts import buckets_for
from tamis.schemas.cluster import RayCluster
from tamis.schemas.costs import Cost
from tamis.schemas.events import TaskDone
from tamis.schemas.job import Job
from tamis.schemas.scope import Scope
from tamis.schemas.step import StepModel

HELD = 4
"""Bytes that a gathering task holds for each byte that it reads: uncompressed, sorted, and what it writes."""

FOOTER = 3 * 119
"""Bytes that a row group takes of a footer: three columns of 119."""

TAIL = 64 << 10
"""Bytes that a reader of a table asks for to find its footer."""


@dataclass
class Measured:
    """A phase, as the pilot (one part) and the sample ran it."""

    step: str
    phase: str
    cpus: float
    gpus: float
    sample: list[TaskDone] = field(default_factory=list)
    pilot: list[TaskDone] = field(default_factory=list)
    wall_seconds: float = 0.0  # of the sample's


@dataclass(frozen=True)
class Scale:
    """A number of rows, and what reaches each step of them."""

    rows: float
    alive: Mapping[str, float]  # by step
    job: Job  # with the numbers of clusters that hold at this scale


@dataclass(frozen=True)
class Machine:
    """What things ran on, and are to run on."""

    sample_workers: int
    flops: float  # floating-point operations a second of one processor, as assignment does them
    dim: int  # of the embedding; 0 where there is none
    cluster: RayCluster
    ingest_bytes: tuple[float, float]  # of a file's ingest table: in the sample, in the whole
    gpu_flops: float = 0.0  # as ``flops``, of a GPU; 0 where the sample was run without one

    def rate(self, found: Measured) -> float:
        """Floating-point operations a second of what a task of the phase worked with."""
        return self.gpu_flops if found.gpus and self.gpu_flops else self.flops


@dataclass(frozen=True)
class PhaseForecast:
    """What a phase will take of a whole run."""

    cost: Cost
    tasks: int
    wall_seconds: tuple[float, float]


def phase(found: Measured, sample: Scale, whole: Scale, machine: Machine) -> PhaseForecast:
    """How a phase grows from the sample to the whole. See the module for the formulas."""
    config = _config(whole.job, found.step)
    rows = sum(_rows(task) for task in found.sample)
    alike = whole.rows / sample.rows
    fewer = whole.alive[found.step] / max(1.0, sample.alive[found.step] * alike)
    growth = _growth(found, sample, whole, machine.dim, alike * fewer)
    grown = rows * growth
    tasks = _tasks(found, grown, sample, whole, machine.dim)
    slots = machine.cluster.slots(found.cpus, found.gpus) or 1
    workers = min(tasks, slots)
    extra = _flop(whole, config, found, grown, machine.dim)
    extra -= _flop(sample, _config(sample.job, found.step), found, rows, machine.dim) * (
        grown / rows
    )
    cpu = _line(found, lambda task: task.spent.cpu_seconds)
    clock = _line(found, lambda task: task.seconds)
    cpu_seconds = max(0.0, cpu.at(grown, workers) + extra / machine.rate(found))
    clock_seconds = max(0.0, clock.at(grown, workers) + extra / machine.rate(found))
    loaded = _line(found, lambda task: task.spent.read_bytes).cold
    cold = sum(task.spent.cold for task in found.sample)
    read = max(0.0, _total(found.sample, "read_bytes") - cold * loaded)
    read *= growth / min(1.0, fewer or 1.0)
    read += workers * loaded if cold else 0.0
    more = tasks - len(found.sample)
    if found.sample[0].gathers and more > 0:
        parts = whole.rows / whole.job.part_samples
        read += parts * tasks * more * FOOTER
    read += tasks * _longer_tail(found, machine)
    cost = Cost(
        cpu_seconds,
        clock_seconds * found.gpus,
        read,
        _total(found.sample, "written_bytes") * growth,
        read if found.sample[0].gathers else 0.0,
        _memory(found, read, tasks),
    )
    waves = math.ceil(tasks / workers) * clock_seconds / tasks * _spread(found)
    idle = max(0.0, found.wall_seconds - _clock(found) / machine.sample_workers)
    low = cpu_seconds / workers
    return PhaseForecast(cost, tasks, (low, max(low, waves) + idle))


def _longer_tail(found: Measured, machine: Machine) -> float:
    """What each task reads more of its file's ingest table; nothing where it read less than one, and so none."""
    before, after = (min(TAIL, size) for size in machine.ingest_bytes)
    mean = _total(found.sample, "read_bytes") / len(found.sample)
    reads_it = found.sample[0].scope is Scope.PART and mean > 0.95 * before
    return after - before if reads_it else 0.0


def _config(job: Job, step: str) -> StepModel | None:
    return next((config for config in job.steps if config.name == step), None)


def _rows(task: TaskDone) -> int:
    """Rows that it read; those that it made where it read a file of the input."""
    return task.rows or task.written or 1


def _total(tasks: Sequence[TaskDone], name: str) -> float:
    return float(sum(getattr(task.spent, name) for task in tasks))


def _clock(found: Measured) -> float:
    return sum(task.seconds for task in found.sample)


@dataclass(frozen=True)
class _Line:
    """Seconds, or bytes, = rows x ``a_row`` + workers x ``cold``."""

    a_row: float
    cold: float

    def at(self, rows: float, workers: int) -> float:
        return rows * self.a_row + workers * self.cold


def _line(found: Measured, seconds: Callable[[TaskDone], float]) -> _Line:
    """From warm tasks; where all were cold, from the difference of sample and pilot."""
    everything = [*found.pilot, *found.sample]
    warm = [task for task in everything if not task.spent.cold]
    cold = [task for task in everything if task.spent.cold]
    if warm:
        a_row = sum(map(seconds, warm)) / sum(map(_rows, warm))
    else:
        a_row = _slope(found, seconds)
    left = [max(0.0, seconds(task) - a_row * _rows(task)) for task in cold]
    return _Line(a_row, sum(left) / len(left) if left else 0.0)


def _slope(found: Measured, seconds: Callable[[TaskDone], float]) -> float:
    def mean(tasks: Sequence[TaskDone], of: Callable[[TaskDone], float]) -> float:
        return sum(map(of, tasks)) / max(1, len(tasks))

    rows = mean(found.sample, _rows) - mean(found.pilot, _rows)
    if not found.pilot or rows <= 0:
        return 0.0
    return max(0.0, mean(found.sample, seconds) - mean(found.pilot, seconds)) / rows


def _growth(found: Measured, sample: Scale, whole: Scale, dim: int, usual: float) -> float:
    """By what a phase's rows grow."""
    if _trains(found):
        there = _config(sample.job, found.step), _config(whole.job, found.step)
        before, after = (
            _drawn(config, scale.alive[found.step], dim)
            for config, scale in zip(there, (sample, whole), strict=True)
        )
        return after / max(1.0, before)
    return usual


def _trains(found: Measured) -> bool:
    return found.phase in {"train", "start"} and found.sample[0].scope is Scope.WHOLE


def clusters(config: Clustered, alive: float, dim: int) -> int:
    """How many there will be where ``alive`` samples reach the step."""
    if config.clusters != "auto":
        return config.clusters
    reaching = max(1, int(alive))
    if config.compares_members:
        return semantic.auto_clusters(reaching, max(1, dim)).clusters
    return kmeans.auto_clusters(reaching)


def _drawn(config: StepModel | None, alive: float, dim: int) -> float:
    """Rows of the k-means sample."""
    if not isinstance(config, Clustered):
        return 1.0
    wanted = kmeans.sample_size(
        clusters(config, alive, dim), int(alive), config.points_per_centroid
    )
    return float(min(wanted, config.sample_bytes // (4 * max(1, dim))))


def _flop(scale: Scale, config: StepModel | None, found: Measured, rows: float, dim: int) -> float:
    """Floating-point operations of a phase that do not grow with its rows alone."""
    if not isinstance(config, Clustered) or not dim:
        return 0.0
    alive = scale.alive[found.step]
    count = clusters(config, alive, dim)
    if found.phase == "assign" or found.phase.startswith("sums-"):
        return 2.0 * rows * count * dim
    trained = "start" if config.full_iterations else "train"
    if found.phase == trained and config.centroids is None:
        return 2.0 * _drawn(config, alive, dim) * count * dim * config.iterations
    if found.phase == "pairs":
        return alive * alive / count * dim
    return 0.0


def _tasks(found: Measured, rows: float, sample: Scale, whole: Scale, dim: int) -> int:
    scope = found.sample[0].scope
    there = len(found.sample)
    if scope in {Scope.PART, Scope.FILE}:
        return max(there, math.ceil(there * whole.rows / sample.rows))
    if scope is Scope.SHARD:
        return max(there, math.ceil(there * rows / sum(map(_rows, found.sample))))
    config = _config(whole.job, found.step)
    if found.phase.startswith("sums-") and isinstance(config, Clustered):
        each = whole.job.part_samples
        many = clusters(config, whole.alive[found.step], dim)
        return max(there, bucket_counts.of_parts(math.ceil(whole.rows), each, many))
    if scope is Scope.RANGE:
        return max(1, math.ceil(whole.rows / whole.job.range_samples))
    if scope is Scope.BUCKET:
        return max(there, _buckets(found, config, int(rows), whole, dim))
    return there


def _buckets(found: Measured, config: StepModel | None, rows: int, whole: Scale, dim: int) -> int:
    """As the step counts them by what reaches it; of candidates, which a bucket's ``rows`` are at the least."""
    alive = int(whole.alive[found.step])
    if isinstance(config, NearDuplicates):
        vectors = config.agreement(whole.job) == "embedding"
        if found.phase == "similar":
            return bucket_counts.of_candidates(rows, vectors)
        if found.phase == "shared":
            bands, _ = choose_bands(config.jaccard, config.permutations, config.recall)
            return bucket_counts.Bands.of(alive, bands).buckets
        return bucket_counts.of_captions(alive, vectors)
    if isinstance(config, SemanticDuplicates):
        return bucket_counts.of_clusters(alive, dim, clusters(config, alive, dim))
    if isinstance(config, NearPictures):
        return bucket_counts.of_hashes(alive)
    return bucket_counts.of_index(alive) if found.step == "ledger" else buckets_for(alive)


def _memory(found: Measured, read: float, tasks: int) -> float:
    largest = max(task.spent.memory_bytes for task in (*found.pilot, *found.sample))
    if not largest or not found.sample[0].gathers:
        return float(largest)
    before = max(task.spent.read_bytes for task in found.sample)
    return largest + HELD * max(0.0, read / tasks - before)


def _spread(found: Measured) -> float:
    """How much longer the slowest task takes than the mean one."""
    seconds = [task.seconds for task in found.sample if not task.spent.cold] or [1.0]
    return max(seconds) / (sum(seconds) / len(seconds)) if sum(seconds) else 1.0
