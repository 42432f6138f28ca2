"""Answers that commands have written into a run directory."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.store import storage
from tamis.schemas.errors import StateError

Answer = TypeVar("Answer", bound=BaseModel)


def stored(run: FinishedRun, file: str, kind: type[Answer], command: str) -> Answer | None:
    """The answer in ``file`` of a run directory; None where there is none. ``command`` writes such.

    Raises:
        StateError: the file is not what this version writes.
    """
    path = storage.join(run.root, file)
    if not storage.exists(path):
        return None
    try:
        return kind.model_validate_json(storage.read_bytes(path))
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise StateError(
            f"{path}: is not what this version writes ({why}): `tamis {command}` writes it anew"
        ) from None
