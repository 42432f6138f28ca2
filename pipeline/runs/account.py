"""What a run did to the count of samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """What a step did to the count: ``entered = kept + dropped``."""

    step: str
    entered: int
    dropped: Mapping[str, int]

    @property
    def kept(self) -> int:
        """What is alive after the step."""
        return self.entered - sum(self.dropped.values())


@dataclass(frozen=True)
class Result:
    """A finished run: its account, and whether anything had to be computed."""

    root: str
    accounts: tuple[Account, ...]
    tasks_run: int
