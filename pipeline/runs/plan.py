"""A checked job: its input files, its steps in order, and the columns that they hand on. Nothing runs here."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tamis.pipeline.inputs.entries import listed
from tamis.pipeline.inputs.folders import is_folder
from tamis.pipeline.inputs.formats import readable
from tamis.pipeline.inputs.input_files import InputFile
from tamis.pipeline.inputs.twice import check_entries
from tamis.pipeline.steps.ingest import Ingest
from tamis.pipeline.steps.ledger import Ledger
from tamis.pipeline.store import storage
from tamis.pipeline.tasks.product import Kind, Product
from tamis.pipeline.tasks.step import Step
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job
from tamis.schemas.ledger import TAKEN
from tamis.schemas.nearest import nearest
from tamis.schemas.registry import step_class


@dataclass(frozen=True)
class Plan:
    """A checked job, ready to run."""

    job: Job
    root: str
    inputs: tuple[InputFile, ...]
    steps: tuple[Step, ...]
    accept_changed: bool = False
    notes: tuple[str, ...] = field(default=())  # for people, before it starts

    @cached_property
    def makers(self) -> Mapping[Product, tuple[str, str]]:
        """``signal:words`` or ``embedding:embed`` -> the step and phase whose tables hold it."""
        return {
            made: (step.name, phase) for step in self.steps for made, phase in step.makes().items()
        }


def make(job: Job, accept_changed: bool = False) -> Plan:
    """Check a job and list its files and steps.

    Raises:
        JobError, InputError, ModelError: one line, before anything has been computed.
    """
    _check_apart(job)
    entries = [listed(entry) for entry in job.input]
    inputs = tuple(file for files, _ in entries for file in files)
    check_entries(inputs)
    notes = tuple(note for _, noted in entries for note in noted)
    steps = build(job)
    check(steps, inputs)
    deque(readable(inputs), maxlen=0)  # raises where nothing of an entry can be read
    return Plan(job, storage.absolute(job.output), inputs, steps, accept_changed, notes)


def _check_apart(job: Job) -> None:
    """Refuse an output in a directory of which all is input: the run would read what it writes."""
    output = f"{storage.absolute(job.output)}/"
    for entry in job.input:
        for path in entry.path:
            above = f"{storage.absolute(path).rstrip('/')}/"
            if output.startswith(above) and is_folder(path):
                raise JobError(
                    f"output `{storage.redact(job.output)}` lies in the input `{storage.redact(path)}`, and all in "
                    "that directory is read: name a place outside it"
                )


def build(job: Job) -> tuple[Step, ...]:
    """The steps of a job, with the two built-in ones."""
    named = (step_class(config.kind)(config, job) for config in job.steps)
    return (Ingest(job), *named, Ledger(job))


def check(steps: Sequence[Step], inputs: Sequence[InputFile]) -> None:
    """Check each step, and that an earlier one makes every column and embedding that it reads.

    Raises:
        JobError: names the step, what it lacks, and what there is.
    """
    for step in steps:
        step.check(inputs)
    check_chain(steps)


def _way(need: Product) -> str:
    """The end of a message about a need that no step of the job makes."""
    if need.kind is not Kind.SIGNAL:
        return ""
    return (
        f": put a step above it that makes it, `signals: [{need.name}]` if it is built in or a column of the input, "
        "else `counts`, or `embed` for the likeness of picture and caption"
    )


def check_chain(steps: Sequence[Step]) -> None:
    """Check that an earlier step makes every column and embedding that a step reads.

    Raises:
        JobError: names the step, what it lacks, and what there is.
    """
    makers: dict[Product, str] = {}
    taken = {name.lower() for name in TAKEN}
    for step in steps:
        for need in step.needs():
            if need not in makers:
                known = sorted(made.name for made in makers if made.kind is need.kind)
                later = next((other.name for other in steps if need in other.makes()), None)
                mend = nearest(need.name, known)
                mend += "" if mend.endswith("?") else _way(need)
                if later not in {None, step.name}:
                    mend = f": `{later}` makes it, which stands below: move {step.name} below it{step.spared(need)}"
                raise JobError(f"{step.name}: no {need.kind} `{need.name}` at this point{mend}")
        for made in step.makes():
            if made in makers:
                raise JobError(
                    f"{step.name}: {made.kind} `{made.name}` is already made by `{makers[made]}`"
                )
            makers[made] = step.name
            if made.kind is not Kind.SIGNAL:
                continue
            if made.name.lower() in taken:  # some readers of tables ignore case
                raise JobError(
                    f"{step.name}: makes the signal `{made.name}`, and a column of the ledger, or another signal, is "
                    "called so: give the step, or the signal, another name"
                )
            taken.add(made.name.lower())
