"""The account of a run: samples that entered, were dropped and were kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tamis.pipeline.tables import part_files
from tamis.pipeline.tables.file_columns import FileColumns
from tamis.schemas.errors import StateError
from tamis.schemas.job import Job
from tamis.schemas.ledger import FRAME


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


def check_reasons(job: Job, step: str, dropped: Mapping[str, int]) -> None:
    """Check that a step declares what it drops for.

    Raises:
        StateError: names a reason that it does not.
    """
    own = [config.reasons for config in job.steps if config.name == step]
    unknown = sorted(set(dropped).difference(FRAME, *own))
    if unknown:
        raise StateError(
            f"{step}: dropped {dropped[unknown[0]]} samples for the reason `{unknown[0]}`, which it does not "
            "declare: add it, with its meaning, to `reasons` in the step's config.py"
        )


def all_dropped(root: str, account: Account, verdict: FileColumns) -> str:
    """Words for a step after which nothing is left: the next would only say that nothing reaches it.

    ``verdict``: the files of the step's DROPS table, from which an example is read.
    """
    reason, count = max(sorted(account.dropped.items()), key=lambda item: item[1])
    why = f"{count:,} for {reason}"
    for position in range(len(verdict)):
        told = part_files.read(root, verdict.file(position).slice(), ["reason", "message"])
        messages = [
            row["message"] for row in told.to_pylist() if row["reason"] == reason and row["message"]
        ]
        if messages:
            why += f", such as: {messages[0][:200]}"
            break
    return f"{account.step}: drops all {account.entered:,} samples that reach it, {why}: loosen it, or mend the input"
