"""A forecast deals rows out to as many tasks as the steps do: each step's phases are asked for, and none is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.planning import forecast
from tamis.pipeline.planning.forecast import Machine, Measured, Scale
from tamis.pipeline.runs.plan import build
from tamis.pipeline.tables.file_columns import FileColumns
from tamis.pipeline.tables.part_files import TableFile
from tamis.pipeline.tasks.done import Done
from tamis.pipeline.tasks.parts import Parts
from tamis.pipeline.tasks.phase import Phase
from tamis.pipeline.tasks.sources import ByPart
from tamis.pipeline.tasks.step import Step
from tamis.schemas.cluster import parse_cluster
from tamis.schemas.events import TaskDone
from tamis.schemas.job import Job
from tamis.schemas.parse import parse_job
from tamis.schemas.scope import Scope

DIM = 64
STEPS = """
  - exact_duplicates
  - near_pictures
  - embed: {encoder: precomputed}
  - near_duplicates: {name: by_vectors, agree: embedding}
  - near_duplicates: {name: by_pictures, agree: phash}
  - semantic_duplicates
  - prototypes: {keep: 0.9}
  - density: {keep: 0.5, full_iterations: 1, clusters: 900}
"""
OF_ROWS = {
    "ingest": {"unique"},
    "exact_duplicates": {"groups"},
    "near_pictures": {"equal", "distinct"},
    "by_vectors": {"equal", "bands", "shared", "sketches", "members"},
    "by_pictures": {"equal", "bands", "shared", "sketches", "members"},
    "semantic_duplicates": {"pairs", "doomed"},
    "prototypes": {"ranked"},
    "density": {"sums-001", "ranked"},
    "ledger": {"index"},
}
"""Step -> its phases of tasks that share out all rows. How many candidates ``similar`` compares, no row tells."""


@dataclass
class Dry:
    """A run of so many rows, all of them alive, that does nothing."""

    job: Job
    total: int
    root: str = ""
    made: dict[tuple[str, str], Done] = field(default_factory=dict)
    inputs: Sequence[InputFile] = (InputFile("x", "x", "x", "parquet", 0),)

    @property
    def parts(self) -> Parts:
        starts = range(0, self.total, self.job.part_samples)
        rows = [min(self.job.part_samples, self.total - start) for start in starts]
        return Parts.of((0, number, count) for number, count in enumerate(rows))

    @property
    def alive(self) -> int:
        return self.total

    def ranges(self) -> list[range]:
        return [range(len(self.parts))]

    def done(self, step: str, phase: str) -> Done:
        return self.made[step, phase]

    def at(self, step: str, phase: str) -> ByPart:
        return self.made[step, phase].by_part(self.parts, self.ranges())

    def signal(self, name: str) -> ByPart:
        raise AssertionError(f"{name}: no step here reads a signal")

    def ingest(self) -> ByPart:
        return Done(Scope.FILE, columns(["file-00000"])).by_part(self.parts, [])

    def embedding(self, name: str) -> ByPart:
        return self.ingest()

    def drops(self) -> Sequence[ByPart]:
        return ()

    def signals(self) -> Sequence[tuple[str, ByPart]]:
        return ()

    verdicts = place_tables = signals

    def living_by_part(self) -> npt.NDArray[np.int64]:
        return self.parts.rows

    def walk(self, step: Step) -> Iterator[Phase[Any]]:
        """The step's phases, each of which stands as soon as it has been asked for."""
        for phase in step.phases(self):
            files = columns(phase.tasks.names(), self.total)
            self.made[step.name, phase.name] = Done(phase.tasks.scope, files)
            yield phase


def columns(tasks: Sequence[str], total: int = 0) -> FileColumns:
    """What tasks would have made; the table of centroids alone has rows."""
    return FileColumns.of("t", tasks, [file(task, total) for task in tasks])


def file(task: str, total: int = 0) -> TableFile:
    """What a task would have made."""
    rows = (900,) if task == "centroids" else (0,) * 2000
    still = {"movement": [0.0], "reseeded": [0]}
    notes = {"dim": DIM, "counts": {"kept": total}, **still}
    return TableFile(task, "00" * 16, ("00" * 8,) * len(rows), rows, 0, notes)


def measured(step: str, phase: Phase[Any]) -> Measured:
    done = [TaskDone(step, phase.name, task.name, task.scope, 1, 1, 1, 1.0) for task in phase.tasks]
    return Measured(step, phase.name, 1.0, 0.0, done)


def phases(job: Job, rows: int) -> Iterator[tuple[str, Phase[Any]]]:
    run = Dry(job, rows)
    for step in build(job):
        if step.name not in OF_ROWS:
            continue
        # The ledger counts what the parts have kept: here each says all.
        if step.name == "ledger":
            run = Dry(job.model_copy(update={"part_samples": rows}), rows)
        yield from ((step.name, phase) for phase in run.walk(step))


@pytest.mark.parametrize("rows", [3_000, 2_500_000, 30_000_000, 100_000_000])
def test_the_forecast_counts_the_buckets_that_the_steps_make(rows: int) -> None:
    text = (
        f"name: t\ninput: [{{path: x.parquet, image_embeddings: x.npy}}]\noutput: o\nsteps:{STEPS}"
    )
    job = parse_job(f"{text}part_samples: 1000000\n", "t")
    names = [step.name for step in build(job)]
    machine = Machine(1, 1e9, DIM, parse_cluster("2x(4cpu,16GB)"), (1e6, 1e6))
    small, large = (Scale(float(n), dict.fromkeys(names, float(n)), job, 1e6) for n in (1000, rows))
    sample = {(step, phase.name): measured(step, phase) for step, phase in phases(job, 1000)}
    found: dict[str, dict[str, int]] = {step: {} for step in OF_ROWS}
    for step, phase in phases(job, rows):
        if phase.name in OF_ROWS[step]:
            found[step][phase.name] = len(phase.tasks)
    foreseen = {
        step: {
            name: forecast.phase(sample[step, name], small, large, machine).tasks for name in names
        }
        for step, names in OF_ROWS.items()
    }
    assert foreseen == found
