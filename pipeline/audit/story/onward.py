"""Which later step would take a sample, had the one that dropped it let it pass: as far as stored tables tell.

Rules speak of stored signals, and density of a stored distance. Whether duplicates or another selector would have
taken it nobody knows where they never saw it. All other samples, and the quotas of concepts, stay as they are: a
setting that lets this sample pass may let others pass too, who then take its place. ``whatif`` tells that.
"""

from __future__ import annotations

from typing import Any

from tamis.pipeline.audit.reading.finished_run import FinishedRun, Row
from tamis.pipeline.audit.story.margins import checked
from tamis.pipeline.steps.rules.config import Rules
from tamis.pipeline.steps.selectors.density.config import Density
from tamis.pipeline.steps.signals.config import Signals
from tamis.pipeline.steps.write.config import Write
from tamis.pipeline.store import storage
from tamis.pipeline.tables import paths
from tamis.pipeline.tasks.phase_index import read_index
from tamis.schemas.step import StepModel

Onward = dict[str, Any]
"""``step`` that would take it, or None; ``rules`` that it fails there; ``unseen``: earlier steps that never saw it."""


def onward(run: FinishedRun, row: Row, dropped_by: StepModel) -> Onward:
    """What the steps after ``dropped_by`` would do with the sample of a ledger row."""
    later = [step for step in run.steps if not isinstance(step, Write)]
    later = later[[step.name for step in later].index(dropped_by.name) + 1 :]
    missing = {name for step in later for name in _made(run, step)}
    placing = [step.name for step in later if run.made_by(step.name, "place")]
    unseen: list[str] = []
    for step in later:
        if isinstance(step, Signals):
            continue
        if isinstance(step, Rules):
            stored = [name for name in step.bounds if name not in missing]
            failed = [rule for rule in checked(row, step, stored) if not rule["passes"]]
            if failed:
                return {"step": step.name, "rules": failed, "unseen": unseen}
            if len(stored) < len(step.bounds):
                unseen.append(step.name)
        elif isinstance(step, Density) and step.name in placing[-1:] and row["cluster"] is not None:
            beyond = _beyond_quota(run, row, step)
            if beyond is None:
                unseen.append(step.name)
            elif beyond:
                return {"step": step.name, "rules": [], "unseen": unseen}
        else:
            unseen.append(step.name)
    return {"step": None, "rules": [], "unseen": unseen}


def _made(run: FinishedRun, step: StepModel) -> list[str]:
    return list(step.names) if isinstance(step, Signals) else run.made_by(step.name, "signal")


def _beyond_quota(run: FinishedRun, row: Row, step: Density) -> bool | None:
    """Whether the sample would stand behind the last that its concept keeps; None where only uids or lots decide."""
    concepts = run.quotas(step.name)
    if step.which == "random" or concepts is None:
        return None
    if not concepts["quota"][row["cluster"]].as_py():
        return True
    last = _last(run, step.name, row["cluster"])
    if last is None or last == row["distance"]:
        return None
    return bool(row["distance"] < last) == (step.which == "hard")


def _last(run: FinishedRun, step: str, cluster: int) -> float | None:
    """The distance of the last sample that a concept keeps: the verdict on that sample's part has noted it."""
    for file in read_index(storage.join(run.root, paths.folder(step, "verdict"))).values():
        for concept, distance in file.notes.get("last", ()) if file else ():
            if concept == cluster:
                return float(distance)
    return None
