"""Every path that a job names, wherever it stands in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tamis.pipeline.store import storage
from tamis.pipeline.store.redaction import without_secrets
from tamis.schemas.job import Input, Job

Change = Callable[[str], str]


def places(job: Job) -> list[str]:
    """The paths of a job, patterns among them; of its models those that are files here."""
    found: list[str] = []

    def look(path: str) -> str:
        found.append(path)
        return path

    changed(job, look)
    return found


def made_absolute(job: Job) -> Job:
    """``job`` for another directory: what is relative in it is meant from here."""
    return changed(job, storage.absolute)


def changed(job: Job, change: Change) -> Job:
    """``job`` with ``change`` done to each of its paths."""

    def change_file(path: str, /, *, or_name: bool = False) -> str:
        is_file = storage.is_local(path) and storage.is_file(path)
        return change(path) if is_file or not or_name else path

    return job.model_copy(
        update={
            "input": tuple(_entry(entry, change) for entry in job.input),
            "output": change(job.output),
            "steps": tuple(step.with_paths(change_file) for step in job.steps),
        }
    )


def _entry(entry: Input, change: Change) -> Input:
    update: dict[str, Any] = {"path": tuple(change(path) for path in entry.path)}
    for name in ("image_embeddings", "text_embeddings"):
        if (value := getattr(entry, name)) is not None:
            update[name] = change(value)
    return entry.model_copy(update=update)


def told_secrets(job: Job, where: str, instead: str) -> str | None:
    """A warning that URLs of ``job`` hold secrets which will be seen ``where``; None where they hold none."""
    bare = [path for path in places(job) if without_secrets(path) != path]
    if not bare:
        return None
    return (
        f"tamis: note: `{storage.redact(bare[0])}` holds a password or signature, which whoever sees {where} sees too: "
        f"better give credentials by {instead}, or by the nodes' role"
    )
