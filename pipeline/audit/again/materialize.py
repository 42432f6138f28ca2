"""Another decision over a finished run, written as a run of its own: exactly the steps that ``whatif`` would walk.

Every table that the new settings leave valid is copied; the rest is decided again from what is stored, with the
run's centroids. What was never scored is refused, as ``whatif`` refuses it. The new directory is a run like any
other: its result is that of the job with these settings and centroids, to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tamis.pipeline.audit.again.frozen_job import job_of
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.inputs.entries import input_files
from tamis.pipeline.runs.plan import Plan, build, check_chain
from tamis.pipeline.runs.state import State, check_output
from tamis.pipeline.store import storage
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.job import Job
from tamis.schemas.layout import MANIFEST, PLAN


def planned(run: FinishedRun, settings: Sequence[str], output: str) -> Plan:
    """The plan of a new run with other ``settings``: see ``plan_of``.

    Raises:
        JobError: a setting that does not fit, or asks for other concepts.
        StateError: as ``plan_of``.
    """
    root = free(output)
    return plan_of(run, job_of(run, settings), root)


def free(output: str) -> str:
    """The absolute path of a directory for a new run.

    Raises:
        JobError: no path, which would mean the current directory, or that of a file.
        StateError: a finished run is there.
    """
    if not output:
        raise JobError("--as is empty: name a new directory")
    root = storage.absolute(output)
    if storage.is_file(root):
        raise JobError(f"--as {storage.redact(output)}: is a file: name a new directory")
    if storage.exists(storage.join(root, MANIFEST)):
        raise StateError(f"{output}: a finished run is there already: name another --as")
    return root


def plan_of(run: FinishedRun, changed: Job, root: str) -> Plan:
    """The plan of ``changed``, a run's job with other steps or settings; ``root`` begins with the numbers of its parts.

    No model is loaded: nothing is embedded. New files that the job's patterns match are left out.

    Raises:
        JobError: a step that does not fit.
        StateError: an input of ``run`` is gone or has changed.
    """
    job = changed.model_copy(update={"output": root})
    known = {file.source for file in run.inputs}
    inputs = (file for entry in job.input for file in input_files(entry))
    steps = build(job)
    check_chain(steps)
    plan = Plan(job, root, tuple(file for file in inputs if file.source in known), steps)
    embeds = {embed.name for embed in job.embeds}
    for step in steps:
        if step.name not in embeds:
            step.check(plan.inputs)
    State.open(replace(plan, root=run.root))
    check_output(plan)
    numbers = storage.join(root, PLAN)
    if not storage.exists(numbers):
        storage.copy(storage.join(run.root, PLAN), numbers)
    return plan
