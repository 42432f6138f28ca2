"""The growth of each phase, from the tasks of a sample to the costs of a whole run. Formulas; nothing runs here.

With ``growth`` g = rows of the whole / rows of the sample, for each phase of each step:

- *rows* grow by g; but those of a sample to train on as the step says (``StepGrowth.trained_rows``).
- *tasks*: one a part, file or shard: g times as many as the sample had; one a bundle: parts / 128, with as many rows a
  part as the sample's had (``Scale.part_rows``: of short input files fewer than ``part_samples``); one a range: N /
  ``range_samples``, or as the step says (``StepGrowth.groups``); buckets: as many as the step makes of
  what reaches it (``StepGrowth.buckets``), at least as many as the sample had; others: as many as the sample had.
- *processor seconds* = rows x seconds a row of warm tasks + cold seconds x workers + FLOP that grow otherwise / rate
  (of a processor, or of a GPU where the phase's tasks hold one); how FLOP grow the step says (``StepGrowth.flop``).
  Cold is the first task of a kind in a process: imports, a model. It is paid once a worker, and told apart from work.
- *bytes read and written* grow with rows, but for what cold tasks read more than others: a model, once a worker. A task
  that gathers and found no row reads and writes what tables without rows take: that grows with the tasks alone. Where
  there are more buckets than the sample had, every reader of one row group reads a footer that describes all of its
  file: files x buckets x (row groups a file - the sample's) x ``FOOTER`` bytes more. An exchange of more than
  ``dealing.GROUPS`` buckets goes in two waves, with fewer files and row groups.
  A part's task that reads the ingest table of its file asks for the end of it, 64 KiB at most: the whole's is longer
  than the sample's, which has but the file's first parts.
- *memory*: the largest process of the sample; a part stays as large as it is, and a task that gathers holds ``HELD``
  bytes more for every byte that it reads more than the sample's did, but for footers: it drops each once read.
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
from typing import Any

from tamis.pipeline.steps.shared import bucket_counts
from tamis.pipeline.steps.shared.growth import StepGrowth
from tamis.pipeline.tasks import dealing
from tamis.pipeline.tasks.parts import bundles
from tamis.schemas.cluster import RayCluster
from tamis.schemas.costs import Cost
from tamis.schemas.events import TaskDone
from tamis.schemas.job import Job
from tamis.schemas.registry import growth_class
from tamis.schemas.scope import Scope

HELD = 4
"""Bytes that a gathering task holds for each byte that it reads: uncompressed, sorted, and what it writes."""

FOOTER = 3 * 119
"""Bytes that a row group takes of a footer: three columns of 119."""

TAIL = 64 << 10
"""Bytes that a reader of a table asks for to find its footer."""


@dataclass
class Measured:
    """The tasks of a phase: of the pilot (one part) and of the sample."""

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
    part_rows: float  # of a part, the mean


@dataclass(frozen=True)
class Machine:
    """The machine of the sample, and the cluster of the whole."""

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
    """The costs of a phase of the whole run."""

    cost: Cost
    tasks: int
    wall_seconds: tuple[float, float]


def phase(found: Measured, sample: Scale, whole: Scale, machine: Machine) -> PhaseForecast:
    """The costs of a phase of the whole, by the formulas of the module."""
    before, after = (growth_of(found.step, scale, machine.dim) for scale in (sample, whole))
    rows = sum(_rows(task) for task in found.sample)
    alike = whole.rows / sample.rows
    fewer = whole.alive[found.step] / max(1.0, sample.alive[found.step] * alike)
    growth = _row_growth(found, before, after, alike * fewer)
    grown = rows * growth
    tasks = _tasks(found, grown, after, sample, whole)
    slots = machine.cluster.slots(found.cpus, found.gpus) or 1
    workers = min(tasks, slots)
    extra = after.flop(found.phase, grown) - before.flop(found.phase, rows) * (grown / rows)
    cpu = _line(found, lambda task: task.spent.cpu_seconds)
    clock = _line(found, lambda task: task.seconds)
    cpu_seconds = max(0.0, cpu.at(grown, workers) + extra / machine.rate(found))
    clock_seconds = max(0.0, clock.at(grown, workers) + extra / machine.rate(found))
    loaded = _line(found, lambda task: task.spent.read_bytes).cold
    emptied = _without(found, lambda task: task.rows)
    cold = sum(task.spent.cold for task in found.sample if task not in emptied)
    share = tasks / len(found.sample)
    empty = _total(emptied, "read_bytes")
    read = max(0.0, _total(found.sample, "read_bytes") - empty - cold * loaded)
    read *= growth / min(1.0, fewer or 1.0)
    read += empty * share + (workers * loaded if cold else 0.0)
    held = read
    if found.sample[0].gathers:
        read += _longer_footers(tasks, len(found.sample), _bundles(whole))
    read += tasks * _longer_tail(found, machine)
    blank = _total(_without(found, lambda task: task.written), "written_bytes")
    written = (_total(found.sample, "written_bytes") - blank) * growth + blank * share
    cost = Cost(
        cpu_seconds,
        clock_seconds * found.gpus,
        read,
        written,
        read if found.sample[0].gathers else 0.0,
        _memory(found, held, tasks),
    )
    waves = math.ceil(tasks / workers) * clock_seconds / tasks * _spread(found)
    idle = max(0.0, found.wall_seconds - _clock(found) / machine.sample_workers)
    low = cpu_seconds / workers
    return PhaseForecast(cost, tasks, (low, max(low, waves) + idle))


def _longer_footers(tasks: int, before: int, files: int) -> float:
    """Bytes of footers that readers of one row group of each file read, for row groups that the sample had not."""
    groups, fan = tasks, dealing.fan_of(tasks)
    if fan > 1:
        groups, files = fan, math.ceil(files / dealing.LEAST_FILES)
    return float(files * tasks * max(0, groups - before) * FOOTER)


def _longer_tail(found: Measured, machine: Machine) -> float:
    """Bytes that each task reads more of its file's ingest table; none where it read less than the end of one."""
    before, after = (min(TAIL, size) for size in machine.ingest_bytes)
    mean = _total(found.sample, "read_bytes") / len(found.sample)
    reads_it = found.sample[0].scope is Scope.PART and mean > 0.95 * before
    return after - before if reads_it else 0.0


class LedgerGrowth(StepGrowth[None]):
    """The ledger's index lies in buckets."""

    def buckets(self, phase: str, rows: int) -> int:
        """By its entries."""
        del phase, rows
        return bucket_counts.of_index(int(self.alive))


def growth_of(step: str, scale: Scale, dim: int) -> StepGrowth[Any]:
    """The growth of a step at one scale; ``dim`` of the embedding, 0 where there is none."""
    config = next((config for config in scale.job.steps if config.name == step), None)
    if config is not None:
        kind = growth_class(config.kind)
    else:
        kind = LedgerGrowth if step == "ledger" else StepGrowth
    made: StepGrowth[Any] = kind(config, scale.job, scale.rows, scale.alive[step], dim)
    return made


def _rows(task: TaskDone) -> int:
    """Rows that a task read, or made where it read a file of the input."""
    return task.rows or task.written or 1


def _total(tasks: Sequence[TaskDone], name: str) -> float:
    return float(sum(getattr(task.spent, name) for task in tasks))


def _without(found: Measured, rows: Callable[[TaskDone], int]) -> list[TaskDone]:
    """Tasks over a bucket or everything that have no ``rows``; tables of others have a row group a part in any case."""
    return [t for t in found.sample if t.scope in (Scope.BUCKET, Scope.WHOLE) and not rows(t)]


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
    """The line through warm tasks; where all were cold, through the sample and the pilot."""
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


def _row_growth(
    found: Measured, before: StepGrowth[Any], after: StepGrowth[Any], usual: float
) -> float:
    """The factor by which a phase's rows grow."""
    if found.sample[0].scope is not Scope.WHOLE:
        return usual
    drawn = before.trained_rows(found.phase), after.trained_rows(found.phase)
    if drawn[0] is None or drawn[1] is None:
        return usual
    return drawn[1] / max(1.0, drawn[0])


def _tasks(
    found: Measured, rows: float, growth: StepGrowth[Any], sample: Scale, whole: Scale
) -> int:
    """The number of tasks of the phase in the whole run."""
    count = len(found.sample)
    ranges = growth.groups(found.phase)
    if found.sample[0].scope is Scope.RANGE and ranges is None:
        return max(1, math.ceil(whole.rows / whole.job.range_samples))
    grown: float = 0
    match found.sample[0].scope:
        case Scope.PART | Scope.FILE:
            grown = count * whole.rows / sample.rows
        case Scope.BUNDLE:
            grown = _bundles(whole)
        case Scope.SHARD:
            grown = count * rows / sum(map(_rows, found.sample))
        case Scope.RANGE:
            grown = ranges or 0
        case Scope.BUCKET:
            grown = growth.buckets(found.phase, int(rows))
    return max(count, math.ceil(grown))


def _bundles(scale: Scale) -> int:
    return bundles(math.ceil(scale.rows / scale.part_rows))


def _memory(found: Measured, read: float, tasks: int) -> float:
    largest = max(task.spent.memory_bytes for task in (*found.pilot, *found.sample))
    if not largest or not found.sample[0].gathers:
        return float(largest)
    before = max(task.spent.read_bytes for task in found.sample)
    return largest + HELD * max(0.0, read / tasks - before)


def _spread(found: Measured) -> float:
    """Seconds of the slowest task / those of the mean one."""
    seconds = [task.seconds for task in found.sample if not task.spent.cold] or [1.0]
    return max(seconds) / (sum(seconds) / len(seconds)) if sum(seconds) else 1.0
