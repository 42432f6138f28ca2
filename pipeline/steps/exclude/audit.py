"""Answers of `exclude` about a finished run: how near a listed picture is."""

from __future__ import annotations

import math
from typing import Any

from tamis.pipeline.steps.exclude.config import Exclude as Config
from tamis.pipeline.steps.shared.audit import (
    Checked,
    Finished,
    Limit,
    Mend,
    Row,
    StepAudit,
    Verdict,
    checked_epsilon,
    mend,
)


class Exclude(StepAudit[Config]):
    """Answers by the distance in the ledger. Who stands in a list does so whatever becomes of others."""

    mends_one = True

    @property
    def _stores(self) -> bool:
        """True if each sample's distance from the list is a column of the ledger."""
        return self.config.on == "embedding" and self.config.reveal

    def elsewhere(self, row: Row) -> tuple[str, str, str] | None:
        """The listed sample, where a run is the list and both may be shown."""
        uid = row["partner_uid"]
        if uid is None or self.config.redacts or self.config.hidden_list:
            return None
        return self.config.path, uid, "of the list"

    def rules(self, row: Row) -> list[Checked]:
        """The sample's distance from the nearest listed vector, which must be above epsilon."""
        value = row.get(self.name) if self._stores else None
        if value is None:
            return []
        epsilon = self.config.epsilon
        return [
            {"rule": self.name, "value": value, "min": epsilon, "passes": float(value) > epsilon}
        ]

    def mends(self, run: Finished, row: Row) -> list[Mend]:
        """A radius below the distance of the nearest listed picture; nothing for what is equal to an entry."""
        del run
        apart = row["value"]
        if not apart:
            return []
        if self.config.on == "phash":
            return [mend(f"{self.name}.within", "<=", int(apart) - 1)]
        epsilon = (math.ceil(apart * 1e6) - 1) / 1e6  # six decimals, and below it
        return [mend(f"{self.name}.epsilon", "<=", epsilon)] if epsilon > 0 else []

    def would_drop(self, run: Finished, row: Row, missing: set[str]) -> Verdict:
        """The verdict by the stored distance; open where none is stored."""
        del run, missing
        rules = self.rules(row)
        failed = [rule for rule in rules if not rule["passes"]]
        return Verdict(bool(failed), failed) if rules else Verdict(None)

    def limits(self) -> list[Limit]:
        """The distance up to which samples are left out."""
        epsilon = self.config.epsilon
        if not self._stores:
            return []
        return [Limit(self.name, self.name, "min", epsilon, "epsilon", "bound", epsilon)]

    def passing(
        self, column: str, signal: str, side: str, value: float
    ) -> tuple[str, dict[str, Any]] | None:
        """The condition under another epsilon.

        Raises:
            InputError: ``value`` is no epsilon.
        """
        if not self._stores or (signal, side) != (self.name, "min"):
            return None
        checked_epsilon(value)
        return f"coalesce({column}::DOUBLE > $least, true)", {"least": value}
