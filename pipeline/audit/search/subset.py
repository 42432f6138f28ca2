"""A search's answer as a run of its own: the searched run's steps, and behind them a `target` with the query.

So each sample has its reason, value and bound in the ledger, and the answer can be explained, decided again and
verified as that of any other selector. It is exact: all samples that reach the step are compared.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from tamis.pipeline.audit.again.frozen_job import job_of
from tamis.pipeline.audit.again.materialize import free, plan_of
from tamis.pipeline.audit.search.like_run import Several
from tamis.pipeline.audit.search.query import Query, Sought
from tamis.pipeline.audit.search.search import Asked
from tamis.pipeline.audit.search.stored import Embedding
from tamis.pipeline.runs.plan import Plan
from tamis.pipeline.steps.duplicates.semantic.config import SemanticDuplicates
from tamis.pipeline.steps.selectors.target.config import Target
from tamis.pipeline.store import storage
from tamis.schemas.errors import JobError, StateError
from tamis.schemas.job import Job
from tamis.schemas.step import StepModel

Model = TypeVar("Model", bound=StepModel)

QUERY = "query.npy"
"""The file in the new run's directory that holds the vector of a text, picture, sample or vector."""

SEARCH, COPIES = "search", "search_copies"
"""Names of the steps."""

FEW = 20_000
"""Samples that are compared each with each for near copies; more are clustered first."""


def check(asked: Asked) -> None:
    """Raise JobError for what a job cannot say of a search."""
    if asked.among == "dropped":
        raise JobError("--as: a set is made of what the run kept, or of all: say --among all")
    if asked.where is not None:
        raise JobError(
            "--as: --where has no step: leave it out, and add `rules` to the new job.yaml"
        )
    if asked.probes is not None:
        raise JobError("--as compares every sample that reaches the step: leave --probes out")
    if asked.count is not None and asked.above is not None:
        raise JobError("--as: -n and --above both say how many: leave one of them out")


def planned(
    embedding: Embedding, sought: Sought, query: Query | Several, asked: Asked, output: str
) -> Plan:
    """The plan of the new run, whose directory is begun.

    Raises:
        JobError: as ``check``, or a number that no step can have.
        StateError: a finished run, or another search, is in ``output``; or inputs have changed.
    """
    check(asked)
    root = free(output)
    if isinstance(query, Query):
        path, what = storage.join(root, QUERY), storage.redact(query.what)
    else:
        assert sought.like_run is not None, "several vectors are those of a run"
        path, what = storage.absolute(sought.like_run), None
    job = extended(job_of(embedding.run), embedding, asked, path, what)
    if isinstance(query, Query):
        _keep(path, query)
    return plan_of(embedding.run, job, root)


def extended(job: Job, embedding: Embedding, asked: Asked, path: str, what: str | None) -> Job:
    """``job`` with the search behind its other decisions; ``among`` all: behind the embedding, and with none of them.

    What a step of exclusions has hidden or taken out afterwards stays out in either case.
    """
    steps = list(job.steps)
    embeds = next(i for i, step in enumerate(steps) if step.name == embedding.config.name)
    ends = next((i for i, step in enumerate(steps) if _is_end(step)), len(steps))
    before = steps[:ends]
    if asked.among == "all":
        before = [step for i, step in enumerate(before) if i <= embeds or step.redacts]
    taken = {step.name for step in steps}
    bound = {"keep": asked.most} if asked.above is None else {"least": asked.above}
    search = _step(
        Target,
        {
            "name": _unused(SEARCH, taken),
            "path": path,
            "side": asked.side,
            "embedding": embedding.config.makes_embedding,
            **({} if what is None else {"query": what}),
            **bound,
        },
    )
    found: list[StepModel] = [search]
    if asked.dedup is not None:
        found.append(_copies(asked, asked.dedup, search, _unused(COPIES, taken)))
    return job.model_copy(update={"steps": (*before, *found, *steps[ends:])})


def _step(model: type[Model], settings: Mapping[str, Any]) -> Model:
    """The settings of a step; JobError for what a job cannot say."""
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise JobError(
            f"--as: `{model.kind}` cannot have {key}: {first['input']}: {first['msg']}"
        ) from None


def _copies(asked: Asked, dedup: float, search: Target, name: str) -> StepModel:
    """The step that drops what has nearly the vector of a sample nearer to the query."""
    few = asked.above is None and asked.most <= FEW
    settings = {
        "name": name,
        "embedding": search.embedding,
        "clusters": 1 if few else "auto",
        "epsilon": float(1 - Decimal(repr(dedup))),
        "which_to_keep": {"signal": search.name},
    }
    return _step(SemanticDuplicates, settings)


def _is_end(step: StepModel) -> bool:
    return step.is_last or step.leaves_gaps


def _unused(name: str, taken: Collection[str]) -> str:
    if name not in taken:
        return name
    return next(made for number in count(2) if (made := f"{name}_{number}") not in taken)


def _keep(path: str, query: Query) -> None:
    """Write the query's vector into the new run's directory.

    Raises:
        StateError: the vector of another query is there.
    """
    held = io.BytesIO()
    np.save(held, query.vector[None])
    if storage.exists(path):
        if storage.read_bytes(path) != held.getvalue():
            raise StateError(
                f"{storage.redact(path)}: is of another search: name another --as, or remove that directory"
            )
        return
    storage.write_bytes(path, held.getvalue())
