"""``tamis materialize``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.commands.run import Place, carry_out, stoppable
from tamis.jobs.terminal.patience import look_for_weights
from tamis.pipeline.audit.again.materialize import planned
from tamis.pipeline.planning.where import is_small
from tamis.schemas.errors import JobError


@stoppable()
def materialize_run(
    path: str,
    output: str,
    settings: Sequence[str],
    *,
    local: bool | None,
    progress: Literal["auto", "lines", "json", "none"],
    json: bool,
) -> None:
    """Write the subset that ``settings`` choose, then show its funnel.

    Raises:
        JobError: no settings.
        TamisError: the run or a setting does not fit, or a signal was never scored.
    """
    if not settings:
        raise JobError("materialize: no settings: add --set density.keep=0.3")
    run = opened(path)
    look_for_weights(run.steps)
    plan = planned(run, settings, output)
    small = is_small(plan.job, run.manifest.rows_in) if local is None else local
    carry_out(plan, Place(local=small), progress=progress, json=json, base=run.root)
