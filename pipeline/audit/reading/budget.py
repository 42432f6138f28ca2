"""The budget that lies in a run directory."""

from __future__ import annotations

from tamis.pipeline.audit.reading import answers
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.schemas.budget import Budget

FILE = "budget.json"


def stored(run: FinishedRun) -> Budget | None:
    """The budget in a run directory; None where there is none.

    Raises:
        StateError: the file is not what this version writes.
    """
    return answers.stored(run, FILE, Budget, "budget")
