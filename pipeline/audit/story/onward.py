"""Which later step would drop a sample, had the one that dropped it let it pass: as far as stored tables tell.

Where a step never saw the sample, nobody may know whether it would have let it pass. All other samples, and the quotas
of concepts, stay as they are: a setting that lets this sample pass may let others pass too, who then take its place.
``whatif`` tells that.
"""

from __future__ import annotations

from typing import Any

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.steps.shared.audit import Row

Onward = dict[str, Any]
"""``step`` that would drop it, or None; ``rules`` that it fails there; ``unseen``: earlier steps that never saw it."""


def onward(run: FinishedRun, row: Row, dropped_by: str) -> Onward:
    """What the steps after ``dropped_by`` would do with the sample of a ledger row."""
    names = list(run.audits)
    later = names[names.index(dropped_by) + 1 :]
    missing = {signal for name in later for signal in run.signals_of(name)}
    unseen: list[str] = []
    for name in later:
        audit = run.audits[name]
        if not audit.config.reasons:
            continue
        verdict = audit.would_drop(run, row, missing)
        if verdict.drops:
            return {"step": name, "rules": verdict.rules, "unseen": unseen}
        if verdict.drops is None:
            unseen.append(name)
    return {"step": None, "rules": [], "unseen": unseen}
