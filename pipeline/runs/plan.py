"""A job, checked: its input files, its steps in order, and the columns that they hand on. Nothing runs here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.steps.ingest import Ingest
from tamis.pipeline.steps.ledger import Ledger
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.step import Step
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.nearest import nearest
from tamis.schemas.registry import step_class


@dataclass(frozen=True)
class Plan:
    """What ``run`` walks."""

    job: Job
    root: str
    inputs: tuple[InputFile, ...]
    steps: tuple[Step, ...]
    accept_changed: bool = False
    notes: tuple[str, ...] = field(default=())  # what a person should know before it starts

    @cached_property
    def makers(self) -> Mapping[str, tuple[str, str]]:
        """``signal:words`` or ``embedding:embed`` -> the step and phase whose tables hold it."""
        return {
            made: (step.name, phase) for step in self.steps for made, phase in step.makes().items()
        }


def make(job: Job, accept_changed: bool = False) -> Plan:
    """Check a job and list what there is to do.

    Raises:
        JobError, InputError, ModelError: one line, before anything has been computed.
    """
    inputs = tuple(file for entry in job.input for file in input_files(entry))
    steps = build(job)
    check(steps, inputs)
    return Plan(job, storage.absolute(job.output), inputs, steps, accept_changed)


def build(job: Job) -> tuple[Step, ...]:
    """The steps of a job, the two built-in ones included."""
    named = (step_class(config.kind)(config, job) for config in job.steps)
    return (Ingest(job), *named, Ledger(job))


def check(steps: Sequence[Step], inputs: Sequence[InputFile]) -> None:
    """Every column and embedding that a step reads is made by an earlier one, and every model can be had.

    Raises:
        JobError: names the step, what it lacks, and what there is.
    """
    for step in steps:
        step.check(inputs)
    check_chain(steps)


def check_chain(steps: Sequence[Step]) -> None:
    """What each step reads is made by an earlier one.

    Raises:
        JobError: names the step, what it lacks, and what there is.
    """
    made: dict[str, str] = {}
    for step in steps:
        for need in step.needs():
            if need not in made:
                what, _, name = need.partition(":")
                there = sorted(key.partition(":")[2] for key in made if key.startswith(f"{what}:"))
                raise JobError(
                    f"{step.name}: no {what} `{name}` at this point{nearest(name, there) if there else ''}"
                )
        for maker in step.makes():
            if maker in made:
                raise JobError(
                    f"{step.name}: {maker.replace(':', ' `')}` is already made by `{made[maker]}`"
                )
            made[maker] = step.name
