"""The account of a run: samples that entered, were dropped and were kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """The samples that entered a step, and those dropped by reason: ``entered = kept + dropped``."""

    step: str
    entered: int
    dropped: Mapping[str, int]

    @property
    def kept(self) -> int:
        """Samples alive after the step."""
        return self.entered - sum(self.dropped.values())


@dataclass(frozen=True)
class Result:
    """A finished run: its account, and whether anything had to be computed."""

    root: str
    accounts: tuple[Account, ...]
    tasks_run: int
