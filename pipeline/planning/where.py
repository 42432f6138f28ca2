"""The choice between Ray and worker processes without it, for a job on this machine."""

from __future__ import annotations

from tamis.pipeline.planning.sizes import samples
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.tasks import claims
from tamis.schemas.errors import JobError
from tamis.schemas.job import Job

LOCAL_SAMPLES = 1_000_000
"""Samples below which a run does without Ray unless it is told otherwise: a million captions take a
third less time without it."""


def is_local(plan: Plan, asked: bool | None = None, address: str | None = None) -> bool:
    """Whether a run does without Ray: as ``asked``, else where it is small, and no Ray cluster is named.

    Raises:
        JobError: it is asked to, beside the address of a Ray cluster.
    """
    if asked and address:
        raise JobError(
            f"--local and --address {address}: a local run is without Ray: leave one of the two out"
        )
    if asked is not None or address:
        return bool(asked)
    return is_small(plan.job, samples(plan))


def is_small(job: Job, count: int) -> bool:
    """Whether a job over so many samples does without Ray by itself; not where it needs GPUs, which Ray deals out."""
    return count < LOCAL_SAMPLES and not any(claim.gpus for claim in claims.of_job(job))
