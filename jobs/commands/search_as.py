"""``tamis search --as``: apart from the search itself, which imports nothing that runs a job."""

from __future__ import annotations

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.commands.run import Place, carry_out, stoppable
from tamis.jobs.terminal.patience import look_for_weights
from tamis.pipeline.audit.search import subset
from tamis.pipeline.audit.search.making import made
from tamis.pipeline.audit.search.query import Sought
from tamis.pipeline.audit.search.search import Asked, Search
from tamis.pipeline.audit.search.stored import Embedding
from tamis.pipeline.planning.where import is_small


@stoppable()
def write_found(
    path: str,
    embedding: str | None,
    sought: Sought,
    asked: Asked,
    output: str,
    *,
    local: bool | None,
    json: bool,
) -> None:
    """Write what a search finds as a run of its own, then show its funnel.

    Raises:
        JobError: no query, or several; or what a set cannot be made by.
        TamisError: as ``search_run``; or the run, or its inputs, do not fit any more.
    """
    sought.check()
    subset.check(asked)
    run = opened(path)
    searched = Embedding(run, embedding)
    Search(searched, asked)  # what cannot be searched is refused before anything is written
    look_for_weights(run.steps)
    query = made(searched, sought, asked.side)
    plan = subset.planned(searched, sought, query, asked, output)
    small = is_small(plan.job, run.manifest.rows_in) if local is None else local
    carry_out(plan, Place(local=small), progress="auto", json=json, base=run.root)
