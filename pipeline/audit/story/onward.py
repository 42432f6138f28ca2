"""The next step that would drop a dropped sample if its own step had let it pass, as far as stored tables tell.

A step that never saw the sample may leave that open. The other samples and the quotas of concepts are taken as they
are, although a setting that lets this sample pass may let others pass, which then fill the quota: ``whatif`` decides
all of them again.
"""

from __future__ import annotations

from typing import Any

from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.steps.shared.audit import Row

Onward = dict[str, Any]
"""``step`` that would drop it, or None; ``rules`` that it fails there; ``unseen``: earlier steps without its values."""


def onward(run: FinishedRun, row: Row, dropped_by: str) -> Onward:
    """Ask the steps after ``dropped_by`` whether they would drop the sample of a ledger row."""
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
