"""Run a share of a job's parts, in a temporary directory, and count what every task takes.

Which parts is decided by a hash of the input files' names: a few from every file where there are few files. One part
goes first (the pilot): it tells how large parts are, and how the costs of small tasks grow.
"""

from __future__ import annotations

import hashlib
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipeline.algorithms.clusters import kmeans
from tamis.pipeline.host import devices, machine
from tamis.pipeline.inputs.formats import outline, rows_of
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.planning.forecast import Measured, Scale, growth_of
from tamis.pipeline.runs.plan import Plan, build
from tamis.pipeline.runs.ray_engine import RayEngine
from tamis.pipeline.runs.state import State
from tamis.pipeline.runs.walk import Run
from tamis.pipeline.steps.ingest import Ingest, Walked, walk
from tamis.pipeline.store import storage
from tamis.pipeline.store.parquet import ParquetFile
from tamis.pipeline.tables import part_files, paths
from tamis.pipeline.tasks.perform import Here
from tamis.pipeline.tasks.phase import Listed, Phase
from tamis.pipeline.tasks.product import Kind
from tamis.pipeline.tasks.step import Context
from tamis.pipeline.tasks.task import TaskIo
from tamis.schemas.events import Event, PhaseEnded, PhaseStarted, StepEnded, TaskDone
from tamis.schemas.job import Job
from tamis.schemas.scope import Scope

Start = Callable[[str], RayEngine | Here]
"""From a run directory to the executor of its tasks."""


@dataclass(frozen=True)
class Verdict:
    """A step's decision over the sample. ``doubled``: survivors for whom at least one duplicate was dropped."""

    entered: int
    dropped: int
    doubled: int


@dataclass(frozen=True)
class Trial:
    """The costs of the sample, by phase, and the size of the whole."""

    phases: tuple[Measured, ...]
    sample: Scale
    verdicts: Mapping[str, Verdict]
    rows: int  # really run, the pilot apart
    parts: int
    input_rows: float  # of the whole input: counted where it says so itself, else from the sample's bytes a row
    input_bytes: int
    dim: int
    ingest_bytes: tuple[float, float]  # of a file's ingest table: in the sample, in the whole
    start_seconds: float
    seconds: float
    gpu_flops: float = 0.0  # a second, of the GPU that assigns samples; 0 where none does


def measure(plan: Plan, share: float, most_parts: int | None, executor: Start) -> Trial:
    """Run ``share`` of the parts of ``plan``'s input, but no more than ``most_parts``.

    Args:
        plan: of the job as it is to run.
        share: of all parts, in (0, 1].
        most_parts: a bound beside it; None: none.
        executor: from a run directory to the executor of its tasks.

    Raises:
        TamisError: the job cannot be done on so few samples, or not at all.
    """
    began = time.perf_counter()
    files = sorted(plan.inputs, key=_hash)
    total = sum(file.size for file in files)
    with tempfile.TemporaryDirectory(prefix="tamis-plan-") as folder:
        one = executor(f"{folder}/pilot")
        try:
            look = _Walk(plan, files[:1], 1, None, one, f"{folder}/pilot")
            share_of_one = look.consumed / max(1, total)
            pilot = _Walk(plan, files[:1], 1, share_of_one, one, f"{folder}/pilot")
            per_part = max(1.0, look.consumed)
            parts = max(1, min(round(share * total / per_part), most_parts or sys.maxsize))
            first = math.ceil(parts / len(files))
            chosen = files[: math.ceil(parts / first)]
            root = f"{folder}/sample"
            sample = _Walk(plan, chosen, first, parts * per_part / total, executor(root), root)
        finally:
            one.stop()
    rows = float(rows_of(plan.inputs) or sample.rows * total / max(1.0, sample.consumed))
    a_file = rows / len(files) / (sample.rows / len(chosen))
    phases = tuple(_joined({**pilot.phases, **look.phases}, sample.phases))
    scale = Scale(sample.rows, sample.alive, sample.job, sample.rows / max(1, sample.parts))
    on_gpu = any(growth_of(found.step, scale, sample.dim).multiplies_on_gpu for found in phases)
    return Trial(
        phases=phases,
        sample=scale,
        verdicts=sample.verdicts,
        rows=sample.rows,
        parts=sample.parts,
        input_rows=rows,
        input_bytes=total,
        dim=sample.dim,
        ingest_bytes=(sample.ingest_bytes, sample.ingest_bytes * max(1.0, a_file)),
        start_seconds=look.start_seconds,
        seconds=time.perf_counter() - began,
        gpu_flops=gpu_flops(sample.dim, "cuda") if on_gpu else 0.0,
    )


def _hash(file: InputFile) -> bytes:
    return hashlib.blake2b(file.source.encode(), digest_size=16).digest()


def _joined(
    pilot: Mapping[tuple[str, str], Measured], sample: Mapping[tuple[str, str], Measured]
) -> Iterator[Measured]:
    for key, found in sample.items():
        if found.sample:
            yield replace(found, pilot=pilot[key].sample if key in pilot else [])


class _Walk:
    """A run over the first parts of some files; without a share it ends with ingest."""

    def __init__(
        self,
        plan: Plan,
        files: Sequence[InputFile],
        first: int,
        share: float | None,
        executor: RayEngine | Here,
        root: str,
    ) -> None:
        self.job = scaled(plan.job, min(1.0, share or 1.0), root)
        steps = build(self.job) if share else ()
        chosen = replace(
            plan,
            job=self.job,
            root=root,
            inputs=tuple(files),
            steps=(FirstParts(self.job, first), *steps[1:]),
        )
        self.phases: dict[tuple[str, str], Measured] = {}
        self.alive: dict[str, float] = {}
        self._left: float | None = None
        self._ended: list[StepEnded] = []
        self.start_seconds = 0.0
        self._began = time.perf_counter()
        run = Run(chosen, State.open(chosen), executor, [self._observe])
        run.walk_steps()
        self.rows, self.parts = run.total, len(run.parts)
        self.consumed = sum(_consumed(root, run, number) for number in range(len(files)))
        self.dim = _dim(run)
        doubled = _doubled(root) if share else {}
        self.verdicts = {
            end.step: Verdict(end.entered, sum(end.dropped.values()), doubled.get(end.step, 0))
            for end in self._ended
        }
        for step in ("ingest", "ledger"):  # they have a row for every sample, alive or not
            self.alive[step] = float(run.total)
        self.ingest_bytes = float(run.done("ingest", "files").files.bytes.sum()) / len(files)

    def _observe(self, event: Event) -> None:
        match event:
            case PhaseStarted():
                found = Measured(event.step, event.phase, event.cpus, event.gpus)
                self.phases[event.step, event.phase] = found
                self.alive.setdefault(event.step, self._left or 0.0)
            case TaskDone():
                if not self.start_seconds:
                    waited = time.perf_counter() - self._began
                    self.start_seconds = max(0.001, waited - event.seconds)
                self.phases[event.step, event.phase].sample.append(event)
            case PhaseEnded():
                self.phases[event.step, event.phase].wall_seconds = event.seconds
            case StepEnded():
                self._ended.append(event)
                self._left = float(event.entered - sum(event.dropped.values()))


@dataclass(frozen=True, kw_only=True)
class Begun(Walked):
    """Arguments of ``begin``."""

    first: int  # parts of the file


class FirstParts(Ingest):
    """Ingest, of each file no more than its first parts."""

    def __init__(self, job: Job, first: int) -> None:
        super().__init__(job)
        self._first = first

    def phases(self, context: Context) -> Iterator[Phase[Any]]:
        """The phases of ingest, with another function for the walk."""
        for phase in super().phases(context):
            if phase.name == "files":
                tasks = [
                    replace(task, args=Begun(**vars(task.args), first=self._first))
                    for task in phase.tasks
                ]
                yield replace(phase, function=begin, tasks=Listed(tasks))
            else:
                yield phase


def begin(io: TaskIo[Begun]) -> Iterator[pa.Table]:
    """The first parts of one input file."""
    yield from islice(walk(io), io.args.first)
    # The walk did not come to the file's end, which would have told.
    io.notes |= {"sha256": "", "bytes": io.args.size}


def scaled(job: Job, share: float, root: str) -> Job:
    """The job for ``share`` of its samples: counts of clusters and of samples to keep in proportion.

    Where this machine has no GPU, nothing asks for one.
    """
    steps = tuple(config.scaled(share) for config in job.steps)
    changed: dict[str, Any] = {"steps": steps, "output": root}
    if not machine.gpus():
        changed["steps"] = tuple(config.without_gpu() for config in steps)
        claims = job.resources.steps or {}
        bare = {name: claim.model_copy(update={"gpus": None}) for name, claim in claims.items()}
        changed["resources"] = job.resources.model_copy(update={"gpus": 0.0, "steps": bare or None})
    return job.model_copy(update=changed)


def _consumed(root: str, run: Run, number: int) -> float:
    """Bytes of an input file that its rows came from."""
    file = run.inputs[number]
    table = run.done("ingest", "files")[paths.task_name(Scope.FILE, number)]
    known = outline(file).rows
    if known is not None:
        return file.size * sum(table.rows) / max(1, known)
    members = part_files.read(root, table.slice(len(table.rows) - 1), ["members"])["members"]
    ends = [
        member["offset"] + member["size"] for held in members.to_pylist() for member in held or ()
    ]
    return float(max(ends, default=file.size))


def _doubled(root: str) -> dict[str, int]:
    """Survivors for whom a duplicate was dropped: their number, by step."""
    survivors: dict[str, set[str]] = {}
    for path in storage.listing(storage.join(root, "ledger")):
        with storage.open_table(storage.join(root, "ledger", path)) as raw:
            rows = ParquetFile(raw).read(["step", "survivor_uid"]).to_pylist()
        for row in rows:
            if row["survivor_uid"]:
                survivors.setdefault(row["step"], set()).add(row["survivor_uid"])
    return {step: len(found) for step, found in survivors.items()}


def _dim(run: Run) -> int:
    """The width of the first embedding; 0 where there is none."""
    for made, (step, phase) in run.plan.makers.items():
        if made.kind is Kind.EMBEDDING:
            return max(
                (int(notes.get("dim", 0)) for notes in run.done(step, phase).notes()), default=0
            )
    return 0


def flops(dim: int) -> float:
    """Floating-point operations a second of one processor of this machine that assigns samples."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((4096, max(1, dim))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kmeans.assign(vectors[:64], vectors[:512])
    began = time.process_time()
    kmeans.assign(vectors, vectors[:512])
    return 2.0 * vectors.size * 512 / max(1e-6, time.process_time() - began)


def gpu_flops(dim: int, device: str) -> float:
    """The same of a GPU (as torch names it), by the clock, with the time to send the samples there.

    Raises:
        ModelError: there is none.
    """
    devices.prepare(device)
    random = np.random.default_rng(0)
    vectors = random.standard_normal((32_768, max(1, dim))).astype(np.float32)
    centroids = kmeans.Centroids(vectors[:8192], device)
    centroids.assign(vectors[:64])
    began = time.perf_counter()
    centroids.assign(vectors)
    return 2.0 * vectors.size * 8192 / max(1e-6, time.perf_counter() - began)


def on_ray(plan: Plan) -> Start:
    """An executor on a Ray of this machine, which the first one starts."""
    return lambda root: RayEngine(root, plan.job.resources)
