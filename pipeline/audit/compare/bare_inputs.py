"""Input files that no run has read: ingest reads them as a run would, into a scratch directory that goes afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tamis.pipeline.audit.compare.contains import Ingested
from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.runs import executors
from tamis.pipeline.runs.plan import Plan, build
from tamis.pipeline.runs.state import State
from tamis.pipeline.runs.walk import Run
from tamis.pipeline.store import storage
from tamis.schemas.errors import InputError, JobError
from tamis.schemas.events import Observer
from tamis.schemas.job import Input, Job
from tamis.schemas.layout import MANIFEST, PLAN
from tamis.schemas.registry import configuration


def is_run(path: str) -> bool:
    """Whether a path is meant as a run, finished or not, and not as input files."""
    root = storage.absolute(path)
    return storage.is_folder(root) and any(
        storage.is_file(storage.join(root, name)) for name in (MANIFEST, PLAN)
    )


@contextmanager
def ingested(
    patterns: Sequence[str], by_pattern: bool, observers: Sequence[Observer] = ()
) -> Iterator[Ingested]:
    """The files of some patterns, read by as many processes as there are processors.

    Args:
        patterns: paths, or patterns of paths, as a job's input has them.
        by_pattern: the sets are the patterns, and not their files.
        observers: of the reading.

    Raises:
        InputError: no file is there, or none can be read.
        JobError: a pattern is named twice.
    """
    twice = next((path for path in patterns if patterns.count(path) > 1), None)
    if twice is not None:
        raise JobError(f"{storage.redact(twice)}: is named twice: it would stand in itself")
    names = {f"input-{number}": path for number, path in enumerate(patterns)}
    with tempfile.TemporaryDirectory(prefix="tamis-contains-") as root:
        job = Job(
            name="contains",
            input=tuple(Input(path=(path,), name=name) for name, path in names.items()),
            output=root,
            steps=(configuration("write")(),),
        )
        inputs = tuple(file for entry in job.input for file in input_files(entry))
        steps = tuple(step for step in build(job) if step.name == "ingest")
        for step in steps:
            step.check(inputs)
        plan = Plan(job, root, inputs, steps)
        executor = executors.of(plan, local=True)
        try:
            with storage.without_sync():
                walk = Run(plan, State.open(plan), executor, observers)
                walk.walk_steps()
        finally:
            executor.stop()
        if not walk.total:
            raise InputError("no sample is there to compare: name files that have some")
        sets = []
        for file in walk.inputs:
            entry, _, rest = file.source.partition("/")
            pattern = storage.redact(names[entry])
            one = rest if len(patterns) == 1 else f"{pattern}: {rest}"
            sets.append(pattern if by_pattern else one)
        yield Ingested(
            root, walk.parts, sets, [file.size for file in walk.inputs], f"{root} has gone"
        )
