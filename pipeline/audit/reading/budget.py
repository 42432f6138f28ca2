"""The budget that lies in a run directory."""

from __future__ import annotations

from pydantic import ValidationError

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.store import storage
from tamis.schemas.budget import Budget
from tamis.schemas.errors import StateError

FILE = "budget.json"


def stored(run: FinishedRun) -> Budget | None:
    """The budget in a run directory; None where there is none.

    Raises:
        StateError: the file is not what this version writes.
    """
    path = storage.join(run.root, FILE)
    if not storage.exists(path):
        return None
    try:
        return Budget.model_validate_json(storage.read_bytes(path))
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise StateError(
            f"{path}: is not what this version writes ({why}): `tamis budget` writes it anew"
        ) from None
