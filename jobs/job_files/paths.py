"""The paths in a job: listed, made absolute, or changed otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tamis.pipeline.store import storage
from tamis.schemas.job import Input, Job
from tamis.schemas.redaction import without_secrets

Change = Callable[[str], str]


def paths_of(job: Job) -> list[str]:
    """The paths of a job, with its patterns, and with those of its models that are local files."""
    paths: list[str] = []

    def collect(path: str) -> str:
        paths.append(path)
        return path

    with_paths(job, collect)
    return paths


def with_absolute_paths(job: Job) -> Job:
    """``job`` with absolute paths, for another working directory."""
    return with_paths(job, storage.absolute)


def with_paths(job: Job, change: Change) -> Job:
    """``job`` with ``change`` applied to each of its paths."""

    def change_file(path: str, /, *, or_name: bool = False) -> str:
        is_there = storage.is_local(path) and storage.exists(path)
        return change(path) if is_there or not or_name else path

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
    update["embeddings"] = {
        name: given.model_copy(
            update={"image": change(given.image), "text": given.text and change(given.text)}
        )
        for name, given in entry.embeddings.items()
    }
    return entry.model_copy(update=update)


def secret_warning(job: Job, where: str, instead: str) -> str | None:
    """A warning that a URL of ``job`` holds a secret, which ``where`` will show; None without one."""
    secret = [path for path in paths_of(job) if without_secrets(path) != path]
    if not secret:
        return None
    return (
        f"tamis: note: `{storage.redact(secret[0])}` holds a password or signature, which {where} shows: "
        f"better give credentials by {instead}, or by the nodes' role"
    )
