"""Shards of their own for the tiers of a job: which tiers there are, and what each one's shards are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.schemas.errors import JobError
from tamis.schemas.nearest import nearest
from tamis.schemas.step import StepModel

FIT = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""Tiers that can be part of a shard's name and of keys in a tar, which end at the first dot."""


@dataclass(frozen=True)
class Tiering:
    """The signal that names each sample's tier, and the tiers, the lowest first."""

    signal: str
    names: tuple[str, ...]

    @property
    def each(self) -> tuple[str | None, ...]:
        """The tiers; None, the last, is that of samples without one."""
        return (*self.names, None)

    def members(self, tier: str | None, tiers: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """True for the samples of one of ``each``, of the column that has each sample's."""
        found = pc.is_null(tiers) if tier is None else pc.fill_null(pc.equal(tiers, tier), False)
        mask: npt.NDArray[np.bool_] = np.asarray(found, dtype=bool)
        return mask


def tiering(steps: Sequence[StepModel]) -> Tiering | None:
    """The tiers by which the last step of a job divides its shards; None where it does not.

    Raises:
        JobError: no step of that name has tiers, or one has a name that a file should not have.
    """
    if not steps or steps[-1].divided_by is None:
        return None
    name, last = steps[-1].divided_by, steps[-1].name
    known = {step.name: step.tiers for step in steps if step.tiers}
    if name not in known:
        raise JobError(
            f"{last}: by: no step `tiers` is called `{name}`{nearest(name, list(known))}: put one before it, such as "
            f"`tiers: {{name: {name}, signal: ..., cuts: [...], names: [...]}}`"
        )
    for tier in known[name]:
        if not FIT.fullmatch(tier):
            raise JobError(
                f"{last}: by: {name} has a tier `{tier}`, and shards are named after tiers: letters, digits, - and _ "
                "alone, 40 of them at most"
            )
    return Tiering(name, known[name])


def kept_phase(number: int) -> str:
    """The phase of `write` whose tables hold the kept samples of a tier, by its place in ``Tiering.each``."""
    return f"kept_{number}"
