"""tamis as a library: run a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.jobs.library.arguments import Settings, settings
from tamis.jobs.library.finished_run import Run

if TYPE_CHECKING:
    from tamis.schemas.job import Job


def run(
    job: str | Path | Mapping[str, Any],
    *,
    set: Settings | None = None,  # noqa: A002 - as on the command line
    input: str | Sequence[str] | None = None,  # noqa: A002 - as on the command line
    output: str | None = None,
    address: str | None = None,
    local: bool | None = None,
    progress: bool = True,
) -> Run:
    """Run a job, or the rest of it, and open the result.

    Args:
        job: a job file, a preset's bare name, or the job itself as a map with the keys of a job file.
        set: changes of single values, by their paths.
        input: paths to read instead of the job's own.
        output: the run directory instead of the job's own.
        address: a Ray cluster; this machine by default.
        local: without Ray, in worker processes of this machine; by default below a million samples.
        progress: show on standard error how far it is.

    Raises:
        TamisError: whatever a person can mend, in one line.
    """
    from contextlib import nullcontext

    from tamis.jobs.observers.progress import bars
    from tamis.pipeline.planning.where import is_local
    from tamis.pipeline.runs import plan as planning
    from tamis.pipeline.runs import walk

    made = planning.make(_checked(job, set or {}, input, output))
    chosen = is_local(made, local, address)
    shown = bars([step.name for step in made.steps]) if progress else None
    with shown or nullcontext():
        result = walk.run(made, [shown] if shown else [], address=address, local=chosen)
    return Run(result.root)


def _checked(
    job: str | Path | Mapping[str, Any],
    changes: Settings,
    inputs: str | Sequence[str] | None,
    output: str | None,
) -> Job:
    from tamis.jobs.job_files.load import Request, load, load_map

    listed = [inputs] if isinstance(inputs, str) else list(inputs or ())
    request = Request(str(job), listed, output, settings(changes))
    return load_map(job, request) if isinstance(job, Mapping) else load(request)
