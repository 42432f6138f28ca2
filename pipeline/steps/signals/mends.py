"""The `--set` that mends a job whose signals the input has not: its own column of the kind in their place, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tamis.pipeline.inputs import columns
from tamis.pipeline.inputs.columns import Columns
from tamis.pipeline.signals.registry import SIGNALS
from tamis.schemas import yaml12
from tamis.schemas.step import StepModel
from tamis.schemas.tables import ALIASES

B32 = ("similarity", "clip_b32_similarity_score", "clip_similarity_vitb32")
L14 = ("clip_l14_similarity_score", "clip_similarity_vitl14")
"""Cosines of one encoder, which share a bound; a share of the samples goes by either."""

SAFETY = ("nsfw", *ALIASES["punsafe"])
UNSAFE, LIKELY_SAFE = {"max": 0.5}, {"in": ["UNLIKELY"]}
"""The bound of a probability that a picture is unsafe, and of LAION's word for it."""

OF_PICTURES = {"image_size", "pixels"}
"""What signals read that metadata has not: no other setting gives them that."""


def mend(
    config: StepModel, steps: Sequence[StepModel], lacking: Sequence[str], known: Columns
) -> str | None:
    """The settings without the signals that are ``lacking``, or with others; None where no setting mends it.

    Args:
        config: the settings of the step that computes them.
        steps: of the job.
        lacking: the names of signals that have no origin.
        known: the input's columns.
    """
    if any(OF_PICTURES & set(SIGNALS[name].reads) for name in lacking if name in SIGNALS):
        return None
    if not config.plugged.keys().isdisjoint(lacking):  # they would stand among the functions alone
        return None
    users = [step for step in steps if _read(step) & set(lacking)]
    swaps: dict[str, str | None] = {}
    for name in lacking:
        bounded = any(name in getattr(step, "bounds", ()) for step in users)
        swaps[name] = _instead(name, known, set(config.computes), bounded)
    names = list(dict.fromkeys(filter(None, (swaps.get(n, n) for n in config.computes))))
    if not names:
        return None
    settings = [f"{config.name}.names={yaml12.flow(names)}"]
    for step in users:
        changed = [*_changes(step, swaps, known)]
        if None in changed:
            return None
        settings += filter(None, changed)
    return f"--set {' '.join(map(_in_shell, settings))}"


def _read(step: StepModel) -> set[str]:
    """The signals that a step names."""
    return {*getattr(step, "bounds", ()), *filter(None, [getattr(step, "signal", None)])}


def _changes(
    step: StepModel, swaps: Mapping[str, str | None], known: Columns
) -> Iterator[str | None]:
    """The settings of one step; None where it cannot do without the signal."""
    bounds: Mapping[str, Any] = getattr(step, "bounds", {})
    for name in bounds:
        if name in swaps:
            yield f"{step.name}.{name}=null"
            if (instead := swaps[name]) is not None:
                yield f"{step.name}.{instead}={yaml12.flow(_bound(bounds[name], known[instead]))}"
    if bounds and bounds.keys() <= {name for name, other in swaps.items() if other is None}:
        yield None
    signal: str = getattr(step, "signal", None) or ""
    if signal in swaps:
        yield None if swaps[signal] is None else f"{step.name}.signal={swaps[signal]}"


def _bound(bound: Any, kind: Any) -> dict[str, Any]:
    """The bound as the other column takes it."""
    found: dict[str, Any] = bound.model_dump(
        by_alias=True, exclude_none=True, exclude_defaults=True
    )
    if columns.is_number(kind):
        return UNSAFE if "in" in found else found
    return found if "in" in found else LIKELY_SAFE


def _instead(name: str, known: Columns, taken: set[str], bounded: bool) -> str | None:
    """The input's column of the same kind; where a bound is on it, of the same encoder."""
    if name in SIGNALS:
        return None
    kinds = [B32, L14, *(() if bounded else ([*L14, *B32],)), SAFETY]
    kinds += (ALIASES[kind] for kind in ("pwatermark", "aesthetic", "language"))
    by_lower = {column.lower(): column for column in known}
    found = (
        by_lower[other]
        for kind in kinds
        if name.lower() in kind
        for other in kind
        if other in by_lower
    )
    return next((column for column in found if column not in taken), None)


def _in_shell(setting: str) -> str:
    plain = all(character.isalnum() or character in "._=-" for character in setting)
    return setting if plain else f"'{setting}'"
