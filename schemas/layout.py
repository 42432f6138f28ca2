"""The version of a run directory's layout, which ``plan.json`` carries, and the settings that earlier layouts wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tamis.schemas.errors import StateError

LAYOUT = 2
"""It goes up when files of a run mean something else or lie elsewhere.

Runs of layout 1, which states no number, can be read and gone on with: some tables of global steps are made again under
other names.
"""


RETIRED_RESOURCES = {"object_store": 256 << 20, "embed_workers": None}
RETIRED_SCORE = {"min": None, "max": None}
"""Settings of layout 1 that are gone, and the values that said nothing."""


def check_layout(record: Mapping[str, Any], path: str) -> None:
    """Check that this version can read a run directory; ``record`` is the content of its ``plan.json``.

    Raises:
        StateError: a later version made it.
    """
    layout = record.get("layout", 1)
    if layout not in range(1, LAYOUT + 1):
        raise StateError(
            f"{path}: layout {layout!r}, and this version reads 1 to {LAYOUT}: use the version that "
            "made the run, or give another `output:`"
        )


def without_retired(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job as plain values, without the settings that layout 1 wrote for every job and that are gone.

    Only values that changed nothing are left out; any other is an unknown key, as in a job that a person wrote.
    """
    resources = _without(job.get("resources"), RETIRED_RESOURCES)
    steps = job.get("steps")
    current = [_current_step(step) for step in steps] if isinstance(steps, list) else steps
    changed = {"resources": resources, "steps": current}
    return {**job, **{key: value for key, value in changed.items() if key in job}}


def _current_step(step: Any) -> Any:
    if isinstance(step, dict) and set(step) == {"score"}:
        return {"score": _without(step["score"], RETIRED_SCORE)}
    return step


def _without(settings: Any, retired: Mapping[str, Any]) -> Any:
    if not isinstance(settings, dict):
        return settings
    return {
        key: value
        for key, value in settings.items()
        if not (key in retired and value == retired[key])
    }
