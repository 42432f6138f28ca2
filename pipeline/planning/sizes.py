"""The sizes of a run before it: parts, tasks, buckets, and the memory of the driver. Counts at most; nothing is run.

Parts follow from what an earlier run has counted, else from the footers of the first files, else from their bytes.
What a part costs the driver was measured by ``tests/simulate.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from tamis.pipeline.host import machine
from tamis.pipeline.inputs.formats import FOOTERS, outline
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.planning import stores
from tamis.pipeline.planning.forecast import Scale, growth_of
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.tasks import plan_files
from tamis.pipeline.tasks.parts import BUNDLE, bundles
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job

SAMPLE_BYTES = 30_000
"""Bytes of a sample in a tar, where nothing else is known: of LAION-400M, 256 pixels a side, it is 25,000."""

DRIVER_BYTES = 150_000_000
DRIVER_PART_BYTES = 7_000
"""Bytes of the driver's memory, and more for each part."""

PHASES = 3
"""Phases of a step with a task a bundle, about."""

TABLE_BYTES = 20
"""Bytes of a task's description for each table that it reads of a part."""

NAME_BYTES = 160
"""The same for a part's input file, and its number."""

DIM = 1024
"""Of an embedding that nothing is known of yet, at most."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of a run, at most; ``counted``: whether an earlier run has counted the parts."""

    samples: int
    parts: int
    bundles: int
    buckets: int  # of the exchange that has the most
    tasks: int
    task_bytes: int  # of the largest description of a task
    task_memory: int  # of the task that holds the most, beside any model
    driver_bytes: int
    table_bytes: int
    puts: int  # requests, where tables lie on a store
    gets: int
    request_dollars: float
    counted: bool


def sizes(plan: Plan) -> Sizes:
    """The sizes of a run.

    Raises:
        JobError: the driver's memory would be more than this machine has; the mend.
    """
    rows, parts, counted = _parts(plan)
    job = plan.job
    looks = sum(config.looks for config in job.steps)
    many = 1 + sum(bool(config.computes) for config in job.steps) + len(job.embeds) + looks
    shards = math.ceil(rows / (job.steps[-1].shard_size or rows or 1))
    buckets = [_buckets(job, step.name, rows, parts) for step in plan.steps]
    few = PHASES * len(plan.steps) * bundles(parts) + 2 * sum(buckets)
    tables = 2 + len(plan.steps) + len(plan.makers)
    dim = DIM if job.embeds else 0
    total = len(plan.inputs) + (many - 1) * parts + shards + few
    puts, gets = stores.requests(parts, len(plan.steps), total)
    found = Sizes(
        rows,
        parts,
        bundles(parts),
        max(buckets),
        total,
        min(parts, BUNDLE) * (TABLE_BYTES * tables + NAME_BYTES),
        stores.task_memory(job, rows, dim),
        DRIVER_BYTES + DRIVER_PART_BYTES * parts,
        stores.table_bytes(job, rows, dim),
        puts,
        gets,
        stores.request_dollars(puts, gets),
        counted,
    )
    _refuse(found, job, len(plan.inputs))
    return found


def samples(plan: Plan) -> int:
    """The estimated number of samples of a run."""
    return _parts(plan)[0]


def _refuse(found: Sizes, job: Job, files: int) -> None:
    memory = machine.memory()
    if found.driver_bytes <= memory:
        return
    short = found.parts < 2 * files
    mend = "put more samples into a file" if short else f"set part_samples above {job.part_samples}"
    raise JobError(
        f"{found.parts:,} parts: the driver would hold {found.driver_bytes / 1e9:,.0f} GB, and this machine has "
        f"{memory / 1e9:,.0f} GB: {mend}, or start the run where there is more memory"
    )


def _buckets(job: Job, step: str, samples: int, parts: int) -> int:
    """Buckets of a step, if all samples reach it."""
    scale = Scale(float(samples), {step: float(samples)}, job, samples / max(1, parts))
    return growth_of(step, scale, DIM if job.embeds else 0).buckets("", samples)


def _parts(plan: Plan) -> tuple[int, int, bool]:
    """Samples and parts, about; and whether they are counted."""
    known = plan_files.read(plan.root)
    total, parts = 0, 0
    counted: set[str] = set()
    if known is not None:
        total, parts = known.parts.total, len(known.parts)
        met = set(known.parts.file.tolist())
        counted = {source for number, source in enumerate(known.sources) if number in met}
    new = [file for file in plan.inputs if file.source not in counted]
    for kind in sorted({file.kind for file in new}):
        files = [file for file in new if file.kind == kind]
        rows = _rows_a_file(files)
        total += round(rows * len(files))
        parts += len(files) * max(1, math.ceil(rows / plan.job.part_samples))
    return total, parts, not new


def _rows_a_file(files: Sequence[InputFile]) -> float:
    """Rows of a file, the mean of those that say it in their footers; by their bytes where none does."""
    told = [rows for file in islice(files, FOOTERS) if (rows := outline(file).rows) is not None]
    if told:
        return sum(told) / len(told)
    return sum(file.size for file in files) / len(files) / SAMPLE_BYTES
