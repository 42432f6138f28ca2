"""The evaluation that lies in a run directory."""

from __future__ import annotations

from tamis.pipeline.audit.reading import answers
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.schemas.evaluation import Evaluation

FILE = "evaluation.json"


def stored(run: FinishedRun) -> Evaluation | None:
    """The evaluation in a run directory; None where there is none.

    Raises:
        StateError: the file is not what this version writes.
    """
    return answers.stored(run, FILE, Evaluation, "evaluate")
